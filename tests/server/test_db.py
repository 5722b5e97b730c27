"""The tables are those that the models describe, and an old database is not used by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fakes.central import Central
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from c2lst_server.db.models import Base, EnrolmentToken
from c2lst_server.db.session import migrate, open_database
from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError

pytestmark = pytest.mark.both_databases


def test_migrations_make_what_the_models_describe(central: Central) -> None:
    with central.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_second_migration_does_nothing(central: Central) -> None:
    assert migrate(central.settings) is False


def test_database_without_tables_is_refused(central: Central, tmp_path: Path) -> None:
    empty = central.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/empty.sqlite3"})
    with pytest.raises(BadInput, match="at version none, not 0005; run `c2lst-server init`"):
        open_database(empty)


def test_database_of_a_home_that_is_not_initialised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run `c2lst-server init` first"):
        open_database(Settings(home=tmp_path))


def test_database_that_cannot_be_opened_is_named(central: Central, tmp_path: Path) -> None:
    absent = central.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/no/such/folder/x.sqlite3"})
    with pytest.raises(C2lstError, match=r"x.sqlite3 does not answer: unable to open database file; check"):
        open_database(absent)


def test_unusable_database_url_is_refused(central: Central) -> None:
    with pytest.raises(BadInput, match="C2LST_SERVER_DATABASE_URL cannot be used"):
        open_database(central.settings.model_copy(update={"database_url": "nonsense"}))


def test_foreign_keys_are_checked(central: Central) -> None:
    with central.session() as session, pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        session.execute(text("INSERT INTO enrolment_tokens (site_id, token_sha256, expires) VALUES (99, 'x', '2026-01-01')"))
    assert EnrolmentToken.__tablename__ in Base.metadata.tables


def test_passphrase_is_read_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from the file\n")
    assert Settings(passphrase_file=file).read_passphrase() == "from the file"
    monkeypatch.setenv("C2LST_SERVER_PASSPHRASE", "from the environment")
    assert Settings().passphrase == SecretStr("from the environment")
    assert Settings().read_passphrase() == "from the environment"


def test_missing_passphrase_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="pass --passphrase-file, or set C2LST_SERVER_PASSPHRASE"):
        Settings(home=tmp_path).read_passphrase()
