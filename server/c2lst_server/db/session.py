"""Open the database, and bring its tables to the version that this code knows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError

CONNECTIONS = 15  # of one process at most
POOL_SECONDS = 10.0  # for which a free one is waited for
MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(settings: Settings) -> Engine:
    """Return the engine of an up-to-date database.

    Raises:
        BadInput: the home is not initialised, or the tables are of another version of c2lst.
        C2lstError: the database cannot be reached.
    """
    settings.folders.check_initialised()
    engine = _connect(settings)
    try:
        found, wanted = _revision(engine), _newest()
    except SQLAlchemyError as error:
        raise C2lstError(
            f"The database {_shown(engine)} does not answer: {_reason(error)}; check C2LST_SERVER_DATABASE_URL."
        ) from error
    _check_version(engine, found, wanted)
    return engine


def check_current(engine: Engine) -> None:
    """Check that the database answers, with tables of the version that this code knows.

    Raises:
        BadInput: the tables are of another version.
        SQLAlchemyError: it does not answer.
    """
    _check_version(engine, _revision(engine), _newest())


def _check_version(engine: Engine, found: str | None, wanted: str | None) -> None:
    if found != wanted:
        raise BadInput(
            f"The tables of {_shown(engine)} are at version {found or 'none'}, not {wanted}; run `c2lst-server init`."
        )


@cache
def _newest() -> str | None:
    """The version that this code knows; reading the scripts takes a while, and they do not change."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def migrate(settings: Settings) -> bool:
    """Make or update the tables; return whether there was anything to do.

    Raises:
        C2lstError: the database cannot be reached or refuses.
    """
    engine = _connect(settings)
    try:
        before = _revision(engine)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return _revision(engine) != before
    except SQLAlchemyError as error:
        raise C2lstError(
            f"The database {_shown(engine)} cannot be set up: {_reason(error)}; check C2LST_SERVER_DATABASE_URL."
        ) from error
    finally:
        engine.dispose()


def _connect(settings: Settings) -> Engine:
    try:
        engine = create_engine(
            settings.database, hide_parameters=True, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=POOL_SECONDS
        )
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise BadInput(f"C2LST_SERVER_DATABASE_URL cannot be used: {error}.") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Check foreign keys, and let readers and one writer work at the same time."""
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 10000")  # milliseconds
    cursor.close()


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and the links that SQLAlchemy puts around them."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
