"""Open the database, and bring its tables to the version that this code knows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError

CONNECTIONS = 15  # of one process at most
CACHE_KIB = 256  # of pages that each connection to SQLite keeps; its own 2 MiB times 15 are a leak to who watches memory
POOL_SECONDS = 10.0  # for which a free one is waited for
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "head"
CONNECT_SECONDS = 10
WAIT_SECONDS, LOOK_SECONDS = 60.0, 1.0
MIGRATION_LOCK = 0x6332_6C73_74  # of PostgreSQL's advisory locks; "c2lst"

log = logging.getLogger(__name__)


def open_database(settings: Settings) -> Engine:
    """Return the engine of an up-to-date database.

    Raises:
        BadInput: the home is not initialised, or the tables are of another version of c2lst.
        C2lstError: the database cannot be reached.
    """
    settings.folders.check_initialised()
    engine = connect(settings)
    try:
        with sentences(engine, "does not answer"), engine.connect() as connection:
            _check_up_to_date(engine, revision_of(connection))
    except C2lstError:
        engine.dispose()
        raise
    return engine


def wait_for_database(settings: Settings, stop: Callable[[], bool] = lambda: False, *, seconds: float = WAIT_SECONDS) -> None:
    """Wait until the database answers: services that are started together, or while it is restarted, need not die for it.

    Raises:
        BadInput: the home is not initialised, or the tables are of another version; that does not pass by waiting.
        C2lstError: it did not answer for `seconds`.
    """
    until = time.monotonic() + seconds
    said = False
    while not stop():
        try:
            open_database(settings).dispose()
        except BadInput:
            raise
        except C2lstError as error:
            if time.monotonic() > until or settings.database.startswith("sqlite"):
                raise  # a file that cannot be opened now cannot be opened in a minute
            if not said:
                log.warning("%s Trying again for %.0f s.", error, seconds)
                said = True
            time.sleep(LOOK_SECONDS)
        else:
            return


def check_current(engine: Engine) -> None:
    """Check that the database answers, with tables of the version that this code knows.

    Raises:
        BadInput: the tables are of another version.
        SQLAlchemyError: it does not answer.
    """
    with engine.connect() as connection:
        _check_up_to_date(engine, revision_of(connection))


def migrate(settings: Settings) -> bool:
    """Make or update the tables; return whether there was anything to do.

    Raises:
        BadInput: the tables are of a newer version of c2lst.
        C2lstError: the database cannot be reached or refuses.
    """
    engine = connect(settings, foreign_keys=False)
    try:
        with sentences(engine, "cannot be set up"), changing(engine) as connection:
            before = revision_of(connection)
            check_known(engine, before)
            upgrade(connection)
            return revision_of(connection) != before
    finally:
        engine.dispose()


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """Give one transaction for changes of the tables: all of it holds at its end, or nothing, and nobody else is at it.

    SQLite's driver would begin a transaction only at the first row that is written, and so leave half of a migration behind
    when the process ends in the middle. For SQLite, open the engine without foreign keys: a table that is altered by copying
    it would take the rows of other tables with it. They are checked at the end instead.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        yield connection
        if engine.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise C2lstError(
                    f"A row of {broken[0]} in {shown(engine)} refers to one that is not there; nothing was changed."
                )


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring the tables up to `revision`, in the transaction of `connection`."""
    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the tables back to `revision` ("base" for none), in the transaction of `connection`."""
    command.downgrade(_config(connection), revision)


@cache
def revisions() -> list[str]:
    """Return every version of the tables, the oldest first; reading the scripts takes a while, and they do not change."""
    return [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]


def revision_of(connection: Connection) -> str | None:
    """Return the version of the tables, None when there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def check_known(engine: Engine, revision: str | None) -> None:
    """Check that the tables are not newer than this code.

    Raises:
        BadInput: they are.
    """
    if revision is not None and revision not in revisions():
        raise BadInput(
            f"The tables of {shown(engine)} are at version {revision}, and this version of c2lst knows them up to "
            f"{revisions()[-1]}; install the newer version of c2lst that made them."
        )


def connect(settings: Settings, *, foreign_keys: bool = True) -> Engine:
    """Return an engine for the database of the settings; nothing is asked of it yet.

    Raises:
        BadInput: the URL cannot be used.
    """
    try:
        url = _with_driver(make_url(settings.database))
        pool = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": POOL_SECONDS, "hide_parameters": True}
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, **pool)
            event.listen(engine, "connect", _prepare_sqlite if foreign_keys else _prepare_sqlite_for_changes)
            return engine
        # A database that was restarted has closed the connections of the pool: each is tried before it is used.
        return create_engine(url, **pool, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise BadInput(f"C2LST_SERVER_DATABASE_URL cannot be used: {error}.") from error


@contextmanager
def sentences(engine: Engine, what: str, kind: type[SQLAlchemyError] = SQLAlchemyError) -> Iterator[None]:
    """Turn what a database says in the body, errors of one kind, into a sentence of our own."""
    try:
        yield
    except kind as error:
        raise C2lstError(f"The database {shown(engine)} {what}: {_reason(error)}; check C2LST_SERVER_DATABASE_URL.") from error


def shown(engine: Engine) -> str:
    """Return the URL without its password."""
    return engine.url.render_as_string(hide_password=True)


def _check_up_to_date(engine: Engine, found: str | None) -> None:
    check_known(engine, found)
    wanted = revisions()[-1]
    if found != wanted:
        raise BadInput(
            f"The tables of {shown(engine)} are at version {found or 'none'}, not {wanted}; run `c2lst-server init`."
        )


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _with_driver(url: URL) -> URL:
    """Take psycopg for PostgreSQL, whatever way the URL is spelled: SQLAlchemy's own default is the driver before it."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in {"postgres", "postgresql"} else url


def _prepare_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """Check foreign keys, and let readers and one writer work at the same time."""
    _prepare_sqlite_for_changes(connection, record)
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_sqlite_for_changes(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    cursor: Any = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA busy_timeout = 10000")  # milliseconds
    cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    cursor.close()


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and the links that SQLAlchemy puts around them."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
