from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.postgres import Postgres

from c2lst_server.db.models import ACTIVE, Site


@pytest.fixture(scope="session")
def rounds_template(template: Central, postgres_or_none: Postgres | None, tmp_path_factory: pytest.TempPathFactory) -> Central:
    """A centre with a release of organ mob and sites a, b and c."""
    central = template.copy(tmp_path_factory.mktemp("rounds") / "home", postgres_or_none)
    with central.session() as session:
        session.add_all(Site(name=name, state=ACTIVE, added=datetime.now(UTC)) for name in ("a", "b", "c"))
        session.commit()
    central.engine.dispose()
    return central


@pytest.fixture
def central(rounds_template: Central, postgres_or_none: Postgres | None, tmp_path: Path) -> Iterator[Central]:
    central = rounds_template.copy(tmp_path / "central", postgres_or_none)
    yield central
    central.engine.dispose()
    if postgres_or_none:
        postgres_or_none.drop(central.settings.database)
