"""The queue's database: one table in SQLite with one row per round, and a row as the code knows it.

`job_queue.py` is what the centre and the site's people do with it, `leases.py` what workers do.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.wire import TERMINAL, DeclineReason, ErrorCode, RoundOffer, RoundResult, SiteState, Stage

VERSION = 1

_TABLE = """
CREATE TABLE IF NOT EXISTS rounds (
    round_id    TEXT PRIMARY KEY,
    offer       TEXT,                        -- JSON; NULL = cancelled before it was offered
    slide       TEXT,                        -- the name of the site's slide that it works on
    state       TEXT NOT NULL,
    reason      TEXT,
    error       TEXT,
    detail      TEXT,                        -- the error in words; never leaves the site
    stage       TEXT,
    step        INTEGER,
    steps       INTEGER,
    eta         REAL,                        -- seconds, at `updated`
    received    REAL NOT NULL,               -- times are seconds since the epoch
    updated     REAL NOT NULL,
    not_before  REAL NOT NULL DEFAULT 0,
    cancel      INTEGER NOT NULL DEFAULT 0,  -- whether a running one was asked to stop
    owner       TEXT,
    lease_until REAL,
    crashes     INTEGER NOT NULL DEFAULT 0,
    furthest    INTEGER NOT NULL DEFAULT 0,  -- units of work that were ever done, to see whether a crash repeats itself
    spent       REAL NOT NULL DEFAULT 0,     -- seconds of work
    result      TEXT                         -- JSON
)
"""


@dataclass(frozen=True)
class Job:
    """One round as it stands."""

    round_id: str
    offer: RoundOffer | None
    slide: str | None
    state: SiteState
    reason: DeclineReason | None
    error: ErrorCode | None
    detail: str | None
    stage: Stage | None
    step: int | None
    steps: int | None
    eta: float | None
    received: float
    updated: float
    not_before: float
    cancel: bool
    owner: str | None
    lease_until: float | None
    crashes: int
    furthest: int
    spent: float
    result: RoundResult | None

    @property
    def deadline(self) -> float:
        """When it is given up, in seconds since the epoch."""
        return self.offer.deadline.timestamp() if self.offer else 0.0


class QueueDatabase:
    """The database at `path`; any number of processes may use it at once.

    Every method raises `sqlite3.OperationalError` when the disk takes no more.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    def find(self, round_id: str) -> Job | None:
        """Return one round, or None."""
        self._expire()
        with self._open() as connection:
            return find_job(connection, round_id)

    def state(self) -> str:
        """Return a text that differs whenever a round has come, or stands otherwise than before; nothing is written."""
        if not self._path.exists():  # nothing is made by looking
            return ""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT round_id, state, stage, step, cancel, error, updated FROM rounds ORDER BY round_id"
            )
            return repr([tuple(row) for row in rows])

    def copy_to(self, path: Path) -> None:
        """Write a copy of the queue, as of one moment, in which nothing runs: what runs is queued there."""
        with self._open() as connection, closing(sqlite3.connect(path)) as copy:
            path.chmod(0o600)
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without the two that WAL keeps beside it
            with copy:
                copy.execute("UPDATE rounds SET state = 'queued', owner = NULL, lease_until = NULL WHERE state = 'running'")

    def _expire(self) -> None:
        """Give up what nobody began before its deadline; a worker gives up what runs."""
        if not self._path.exists():
            return
        now = self._clock()
        with self._open() as connection:
            late = [
                job.round_id
                for row in connection.execute("SELECT * FROM rounds WHERE state IN ('waiting', 'queued')")
                if (job := as_job(row)).deadline <= now
            ]
        if late:
            with self._writing() as connection:
                connection.executemany(
                    "UPDATE rounds SET state = 'failed', error = 'deadline', updated = ? WHERE round_id = ? AND state IN "
                    "('waiting', 'queued')",
                    [(now, round_id) for round_id in late],
                )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version = {VERSION}")
                self._path.chmod(0o600)
            elif found != VERSION:
                raise BadInput(
                    f"{self._path} is of a newer version of c2lst (version {found}, and this one knows {VERSION}); install "
                    "that version, or move the file away to begin a new queue."
                )
            yield connection
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise BadArtefact(f"{self._path} is damaged ({error}); move it away to begin a new queue.") from error
        finally:
            connection.close()


def find_job(connection: sqlite3.Connection, round_id: str) -> Job | None:
    """Return one round, or None."""
    row = connection.execute("SELECT * FROM rounds WHERE round_id = ?", (round_id,)).fetchone()
    return None if row is None else as_job(row)


def get_job(connection: sqlite3.Connection, round_id: str) -> Job:
    """Return one round.

    Raises:
        BadInput: there is none.
    """
    job = find_job(connection, round_id)
    if job is None:
        raise BadInput(f"There is no round {round_id!r}.")
    return job


def as_job(row: sqlite3.Row) -> Job:
    """Return a row as the code knows it."""
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Job)}
    values["offer"] = RoundOffer.model_validate_json(row["offer"]) if row["offer"] else None
    values["result"] = RoundResult.model_validate_json(row["result"]) if row["result"] else None
    values["cancel"] = bool(row["cancel"])
    return Job(**values)


def is_over(job: Job) -> bool:
    """Say whether nothing follows any more."""
    return job.state in TERMINAL
