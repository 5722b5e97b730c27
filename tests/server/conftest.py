"""A central service with one release, made once and copied for each test that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.central import Central


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Central:
    central = Central(tmp_path_factory.mktemp("central") / "home")
    central.publish("first")
    central.engine.dispose()
    return central


@pytest.fixture
def central(template: Central, tmp_path: Path) -> Iterator[Central]:
    central = template.copy(tmp_path / "central")
    yield central
    central.engine.dispose()
