"""Every version of the tables becomes the newest one with its rows, and goes back; on both databases."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fakes.central import Central
from fakes.half_migrated import migrate_and_end
from fakes.postgres import Postgres
from sqlalchemy import Connection, Engine, MetaData, insert, inspect, select, text
from typer.testing import CliRunner

from c2lst_server.cli import app
from c2lst_server.db.models import Base
from c2lst_server.db.session import changing, connect, downgrade, migrate, open_database, revision_of, revisions, upgrade
from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError

pytestmark = pytest.mark.both_databases

WHEN = datetime(2026, 3, 29, 1, 30, 15, 123456, UTC)  # an hour that some time zones do not have
# Rows as each version's own code wrote them: fixed here, whatever the models are today.
ROWS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "0001": {
        "sites": [
            {"id": 1, "name": "hospital-a", "state": "active", "added": WHEN, "enrolled": WHEN, "public_key_pem": "p" * 300,
             "key_fingerprint": "f" * 64},
            {"id": 7, "name": "krankenhaus-ü", "state": "invited", "added": WHEN, "enrolled": None, "public_key_pem": None,
             "key_fingerprint": None},
        ],
        "enrolment_tokens": [{"id": 3, "site_id": 7, "token_sha256": "a" * 64, "expires": WHEN, "used": None}],
        "releases": [
            {"id": 1, "organ": "mob", "number": 1, "run_id": "mob-small", "weights_sha256": "b" * 64, "published": WHEN}
        ],
    },
    "0002": {
        "site_tokens": [{"id": 1, "site_id": 1, "token_sha256": "c" * 64, "expires": WHEN}],
        "seen_assertions": [{"id": 1, "site_id": 1, "jti": "j" * 32, "expires": WHEN}],
        "administrators": [
            {"id": 2, "name": "ada", "scopes": "sites:read", "token_sha256": "d" * 64, "added": WHEN, "expires": WHEN}
        ],
    },
    "0003": {
        "rounds": [
            {"id": 1, "round_id": "0123456789abcdef", "offer": '{"organ": "mob"}', "started": WHEN, "deadline": WHEN,
             "cancelled": None, "closed": None, "driver": None, "driver_until": None}
        ],
        "round_sites": [
            {"id": 1, "round_id": 1, "site": "hospital-a", "state": "running", "stage": "adapt", "step": 5, "steps": 10,
             "eta_seconds": 60, "error": None, "reason": None, "offered": WHEN, "answered": WHEN, "unreachable_since": None,
             "asked": WHEN, "result": None}
        ],
    },
    "0004": {
        "trainings": [
            {"id": 1, "training_id": "fedcba9876543210", "run_id": "mob-small", "plan": '{"organ": "mob"}', "state": "running",
             "queued": WHEN, "not_before": WHEN, "started": WHEN, "updated": WHEN, "ended": None, "cancel": False, "owner": "o",
             "lease_until": WHEN, "crashes": 0, "furthest": 5, "stage": "pretrain", "step": 5, "steps": 10, "eta_seconds": 60,
             "loss": 0.25, "curve": "[]", "error": None, "detail": None, "metrics": None}
        ],
    },
    "0005": {
        "administrator_sessions": [
            {"id": 1, "administrator_id": 2, "session_sha256": "e" * 64, "ends": WHEN, "used": WHEN}
        ],
        "administrator_actions": [
            {"id": 1, "at": WHEN, "who": "ada", "via": "dashboard", "action": "suspended site", "subject": "hospital-a",
             "detail": None}
        ],
    },
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, postgres_or_none: Postgres | None) -> Settings:
    return Settings(home=tmp_path, database_url=postgres_or_none.new() if postgres_or_none else None)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = connect(settings, foreign_keys=False)
    yield engine
    engine.dispose()


def rows_up_to(revision: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows for known, tables in ROWS.items() if known <= revision for table, rows in tables.items()}


def fill(connection: Connection, tables: dict[str, list[dict[str, Any]]]) -> None:
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.sorted_tables:
        if table.name in tables:
            connection.execute(insert(table), tables[table.name])


def check(connection: Connection, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Every row is there, with every value that it had; columns that came later may be beside them."""
    metadata = MetaData()
    metadata.reflect(connection)
    for name, rows in tables.items():
        table = metadata.tables[name]
        found = [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]
        assert [{key: plain(value) for key, value in row.items() if key in rows[0]} for row in found] == rows


def plain(value: object) -> object:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)) if isinstance(value, datetime) else value


def tables_of(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_rows_of_every_version_are_known_here() -> None:
    assert revisions() == sorted(ROWS), "add rows as the new version's code writes them"


@pytest.mark.parametrize("revision", sorted(ROWS))
def test_every_version_is_brought_up_to_date_with_its_rows(engine: Engine, settings: Settings, revision: str) -> None:
    with changing(engine) as connection:
        upgrade(connection, revision)
        fill(connection, rows_up_to(revision))
    assert migrate(settings) is (revision != revisions()[-1])
    with engine.connect() as connection:
        check(connection, rows_up_to(revision))
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert revision_of(connection) == revisions()[-1]


def test_each_step_up_and_down_keeps_what_both_versions_have(engine: Engine) -> None:
    for revision in revisions():
        with changing(engine) as connection:
            upgrade(connection, revision)
            fill(connection, ROWS[revision])
            check(connection, rows_up_to(revision))
            assert tables_of(connection) == rows_up_to(revision).keys()
    for revision in reversed(revisions()[:-1]):
        with changing(engine) as connection:
            downgrade(connection, revision)
            check(connection, rows_up_to(revision))
            assert tables_of(connection) == rows_up_to(revision).keys()
            assert "server" not in {column["name"] for column in inspect(connection).get_columns("sites")} or revision > "0001"
    with changing(engine) as connection:
        downgrade(connection, "base")
        assert tables_of(connection) == set()
    with changing(engine) as connection:
        upgrade(connection)
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_step_that_fails_changes_nothing(engine: Engine, settings: Settings) -> None:
    """A table of the next version is in the way, as a half-done migration of another tool would leave it."""
    with changing(engine) as connection:
        upgrade(connection, "0001")
        fill(connection, rows_up_to("0001"))
        connection.execute(text("CREATE TABLE administrators (id INTEGER)"))  # made by 0002, after two others
    with pytest.raises(C2lstError, match=r"cannot be set up: .*administrators"):
        migrate(settings)
    with changing(engine) as connection:
        assert revision_of(connection) == "0001"
        assert tables_of(connection) == {*ROWS["0001"], "administrators"}
        assert "server" not in {column["name"] for column in inspect(connection).get_columns("sites")}
        connection.execute(text("DROP TABLE administrators"))
    assert migrate(settings) is True
    with engine.connect() as connection:
        check(connection, rows_up_to("0001"))


def test_tables_of_a_newer_version_are_refused_with_what_to_do(engine: Engine, settings: Settings) -> None:
    migrate(settings)
    with changing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    (settings.folders.metadata).mkdir(parents=True)
    (settings.folders.metadata / "timestamp.json").touch()
    for use in (migrate, open_database):
        with pytest.raises(BadInput, match=f"at version 0999, and this version .* up to {revisions()[-1]}; install the newer"):
            use(settings)


def test_kill_in_the_middle_leaves_the_version_before(engine: Engine, settings: Settings) -> None:
    with changing(engine) as connection:
        upgrade(connection, "0001")
        fill(connection, rows_up_to("0001"))
    engine.dispose()
    process = multiprocessing.get_context("spawn").Process(target=migrate_and_end, args=(settings,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with engine.connect() as connection:
        assert revision_of(connection) == "0001"
        assert tables_of(connection) == ROWS["0001"].keys()
    assert migrate(settings) is True
    with engine.connect() as connection:
        check(connection, rows_up_to("0001"))


def test_two_at_once_make_the_tables_once(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=migrate, args=(settings,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert migrate(settings) is False


def test_older_service_is_told_to_update_and_is_updated_by_init(central: Central) -> None:
    run = CliRunner(env={"C2LST_SERVER_DATABASE_URL": central.settings.database})
    home = ["--home", str(central.home.path)]
    central.engine.dispose()
    engine = connect(central.settings, foreign_keys=False)
    with changing(engine) as connection:
        downgrade(connection, "0001")
    engine.dispose()
    refused = run.invoke(app, ["status", *home])
    assert "at version 0001, not 0005; run `c2lst-server init`" in str(refused.exception)
    updated = run.invoke(app, ["init", *home])
    assert "Updated the tables of the database; keys and releases" in updated.stdout
    shown = run.invoke(app, ["status", *home])
    assert "mob/1" in shown.stdout
