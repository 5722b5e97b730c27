"""No worker outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.round_site import end_workers


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    end_workers()
