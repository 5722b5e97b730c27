"""A central service with one release on loopback, and the empty home of a site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.central import Central, serving

from c2lst_client.home import Home
from c2lst_client.trust.enrol import enrol


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Central:
    central = Central(tmp_path_factory.mktemp("central") / "home")
    central.publish("first")
    central.engine.dispose()
    return central


@pytest.fixture
def central(template: Central, tmp_path: Path) -> Iterator[Central]:
    central = template.copy(tmp_path / "central")
    with serving(central):
        yield central
    central.engine.dispose()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "site")


@pytest.fixture
def enrolled(central: Central, home: Home, tmp_path: Path) -> Home:
    enrol(home, central.invite(tmp_path / "enrolment.json"))
    return home
