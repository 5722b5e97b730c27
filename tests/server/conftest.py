"""A central service with one release, made once and copied for each test that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.postgres import Postgres, postgres

# Tests of a module that says so run on both databases; on PostgreSQL with the slow ones, as it takes seconds to start.
BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.slow))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("both_databases") and "postgres_or_none" in metafunc.fixturenames:
        metafunc.parametrize("postgres_or_none", BOTH, indirect=True, scope="session")


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_or_none(request: pytest.FixtureRequest) -> Postgres | None:
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("running_postgres")
    return server


@pytest.fixture(scope="session")
def template(postgres_or_none: Postgres | None, tmp_path_factory: pytest.TempPathFactory) -> Central:
    central = Central(tmp_path_factory.mktemp("central") / "home", postgres_or_none.new() if postgres_or_none else None)
    central.publish("first")
    central.engine.dispose()
    return central


@pytest.fixture
def central(template: Central, postgres_or_none: Postgres | None, tmp_path: Path) -> Iterator[Central]:
    central = template.copy(tmp_path / "central", postgres_or_none)
    yield central
    central.engine.dispose()
    if postgres_or_none:
        postgres_or_none.drop(central.settings.database)
