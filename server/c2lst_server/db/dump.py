"""All rows of the database as files of JSON lines, and back: the same for SQLite and PostgreSQL, so one may follow the other.

Tables are taken as they are found and not as the models describe them, so that an older database can be kept, and put back at
its own version before it is brought up to date.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Integer, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.types import DateTime

from c2lst_server.db.models import Base
from c2lst_server.db.session import check_known, downgrade, revision_of, sentences, shown, upgrade
from c2lst_shared.errors import BadArtefact, BadInput

AT_ONCE = 500  # rows
SUFFIX = ".jsonl"


def dump(engine: Engine, folder: Path) -> tuple[str, list[Path]]:
    """Write every table into a file of `folder`, all as of one moment; return the version of the tables and the files.

    Raises:
        BadInput: there are no tables, or they are of a newer version of c2lst.
        C2lstError: the database cannot be reached.
    """
    with sentences(engine, "cannot be read"), _one_moment(engine) as connection:
        revision = revision_of(connection)
        if revision is None:
            raise BadInput(
                f"{shown(engine)} has no tables of c2lst; run `c2lst-server init`, or set C2LST_SERVER_DATABASE_URL."
            )
        check_known(engine, revision)
        return revision, [_write(connection, table, folder / f"{table.name}{SUFFIX}") for table in _tables(connection)]


def load(connection: Connection, folder: Path, revision: str) -> None:
    """Make the tables at `revision`, fill them from the files of `folder`, and bring them up to date; all in one transaction.

    Raises:
        BadArtefact: the files do not fit the tables.
    """
    upgrade(connection, revision)
    tables = _tables(connection)
    if {path.name for path in folder.iterdir()} != {f"{table.name}{SUFFIX}" for table in tables}:
        raise BadArtefact(f"The tables in the backup are not those of version {revision}; use another backup.")
    for table in tables:
        with (folder / f"{table.name}{SUFFIX}").open(encoding="utf-8") as lines:
            rows = _rows(table, lines)
            while some := list(islice(rows, AT_ONCE)):
                connection.execute(insert(table), some)
        _go_on_counting(connection, table)
    upgrade(connection)


def is_empty(connection: Connection) -> bool:
    """Say whether the database has no tables of c2lst."""
    return not set(inspect(connection).get_table_names()) & set(Base.metadata.tables)


def clear(connection: Connection) -> None:
    """Drop the tables of c2lst, and no others.

    Raises:
        BadInput: they are of a newer version of c2lst.
    """
    check_known(connection.engine, revision_of(connection))
    downgrade(connection, "base")


def _one_moment(engine: Engine) -> Connection:
    """Return a connection that sees the database as it was at its first question, whatever is written meanwhile."""
    if engine.dialect.name == "sqlite":
        connection = engine.connect()
        connection.exec_driver_sql("BEGIN")  # the driver would begin only at a change
        return connection
    return engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _tables(connection: Connection) -> list[Table]:
    """Return the tables of c2lst as they are, those first to which others refer."""
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name in Base.metadata.tables)
    return metadata.sorted_tables


def _write(connection: Connection, table: Table, path: Path) -> Path:
    rows = connection.execute(select(table).order_by(*table.primary_key.columns), execution_options={"yield_per": AT_ONCE})
    with path.open("w", encoding="utf-8") as file:
        for row in rows.mappings():
            file.write(json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False) + "\n")
    return path


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()  # SQLite forgets time zones
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a dump has no way to write {type(value).__name__}")


def _rows(table: Table, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    moments = {column.name for column in table.columns if isinstance(column.type, DateTime)}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            yield {
                name: _value(row[name]) if name in moments else row[name] for name in (column.name for column in table.columns)
            }
        except (ValueError, TypeError, KeyError) as error:
            raise BadArtefact(
                f"Line {number} of table {table.name} in the backup cannot be read; use another backup."
            ) from error


def _value(moment: str | None) -> datetime | None:
    return None if moment is None else datetime.fromisoformat(moment).astimezone(UTC)


def _go_on_counting(connection: Connection, table: Table) -> None:
    """Let PostgreSQL give new rows numbers after those that were put in."""
    key = next(islice(table.primary_key.columns, 1))
    if connection.dialect.name == "postgresql" and isinstance(key.type, Integer):
        newest = connection.scalar(select(func.max(key)))
        if newest is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :key), :newest)"),
                {"table": table.name, "key": key.name, "newest": newest},
            )
