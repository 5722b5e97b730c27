"""No worker outlives its test; a queue whose clock the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fakes.round_site import end_workers

from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.leases import Leases


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    end_workers()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    return JobQueue(tmp_path / "rounds" / "queue.sqlite3", clock)


@pytest.fixture
def leases(tmp_path, clock):
    return Leases(tmp_path / "rounds" / "queue.sqlite3", clock)
