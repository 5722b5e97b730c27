"""The site's queue of rounds: one table in SQLite, one row per round, whatever comes how often.

A round is queued once, by its identifier. A worker claims it for some seconds at a time (a lease) under a name of its own, and
every later write names the owner: one that lost its lease changes nothing any more. What a dead worker left is claimed by the
next. The folder of the round is locked besides (`Site.exclusively`), so that two never work in it whatever clocks say.
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

LEASE_SECONDS = 30.0
CRASHES = 3  # in a row without getting any further: then it is given up
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


@dataclass(frozen=True)
class Decision:
    """What becomes of an offer."""

    state: SiteState  # declined, waiting or queued
    reason: DeclineReason | None = None
    slide: str | None = None


class JobQueue:
    """The queue at `path`; any number of processes may use it at once.

    Every method raises `sqlite3.OperationalError` when the disk takes no more.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    # ---- what the centre and the site's people do

    def receive(self, offer: RoundOffer, decide: Callable[[], Decision]) -> Job:
        """Take in an offer: a new one is decided on, one that is there already stays as it is."""
        with self._writing() as connection:
            if _find(connection, offer.round_id) is None:
                decision, now = decide(), self._clock()
                connection.execute(
                    "INSERT INTO rounds (round_id, offer, slide, state, reason, received, updated) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (offer.round_id, offer.model_dump_json(), decision.slide, decision.state, decision.reason, now, now),
                )
            return _get(connection, offer.round_id)

    def find(self, round_id: str) -> Job | None:
        """Return one round, or None."""
        self._expire()
        with self._open() as connection:
            return _find(connection, round_id)

    def get(self, round_id: str) -> Job:
        """Return the round that `round_id`, or an unambiguous beginning of it, names.

        Raises:
            BadInput: there is none, or there are several.
        """
        found = [job for job in self.all() if job.round_id.startswith(round_id)] if round_id else []
        if len(found) != 1:
            known = ", ".join(job.round_id for job in found or self.all()) or "none yet"
            raise BadInput(f"{round_id!r} names {len(found) or 'no'} round{'s' * (len(found) > 1)}; the rounds are: {known}.")
        return found[0]

    def all(self) -> list[Job]:
        """Return all rounds in the order in which they came."""
        self._expire()
        with self._open() as connection:
            return [_job(row) for row in connection.execute("SELECT * FROM rounds ORDER BY received, round_id")]

    def approve(self, round_id: str, slide: str) -> Job:
        """Queue a round that waits, to work on this slide.

        Raises:
            BadInput: it does not wait.
        """
        return self._decide(round_id, "UPDATE rounds SET state = 'queued', slide = :value, updated = :now", slide)

    def decline(self, round_id: str) -> Job:
        """Decline a round that waits.

        Raises:
            BadInput: it does not wait.
        """
        return self._decide(round_id, "UPDATE rounds SET state = 'declined', reason = :value, updated = :now", "person")

    def cancel(self, round_id: str) -> Job:
        """Give a round up: at once when it does not run, else its worker is asked to stop.

        One that was never offered is remembered, so that an offer that comes late finds it cancelled.
        """
        with self._writing() as connection:
            now = self._clock()
            connection.execute(
                "INSERT INTO rounds (round_id, state, received, updated) VALUES (?, 'cancelled', ?, ?) ON CONFLICT DO NOTHING",
                (round_id, now, now),
            )
            connection.execute(
                "UPDATE rounds SET state = 'cancelled', updated = ? WHERE round_id = ? AND state IN ('waiting', 'queued')",
                (now, round_id),
            )
            connection.execute("UPDATE rounds SET cancel = 1 WHERE round_id = ? AND state = 'running'", (round_id,))
            return _get(connection, round_id)

    def copy_to(self, path: Path) -> None:
        """Write a copy of the queue, as of one moment, in which nothing runs: what runs is queued there."""
        with self._open() as connection, closing(sqlite3.connect(path)) as copy:
            path.chmod(0o600)
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without the two that WAL keeps beside it
            with copy:
                copy.execute("UPDATE rounds SET state = 'queued', owner = NULL, lease_until = NULL WHERE state = 'running'")

    # ---- what workers do

    def claim(self, owner: str, lease: float = LEASE_SECONDS) -> Job | None:
        """Take the oldest round that may be worked on, or None: one that is queued, or whose worker is dead."""
        self._expire()
        with self._writing() as connection:
            now = self._clock()
            row = connection.execute(
                "SELECT round_id, state FROM rounds WHERE not_before <= :now AND (state = 'queued' OR (state = 'running' AND "
                "coalesce(lease_until, 0) < :now)) ORDER BY received, round_id LIMIT 1",
                {"now": now},
            ).fetchone()
            if row is None:
                return None
            if row["state"] == "running" and _note_crash(connection, row["round_id"], now):
                return None
            connection.execute(
                "UPDATE rounds SET state = 'running', owner = ?, lease_until = ?, updated = ?, error = NULL, detail = NULL "
                "WHERE round_id = ?",
                (owner, now + lease, now, row["round_id"]),
            )
            return _get(connection, row["round_id"])

    def beat(self, round_id: str, owner: str, worked: float, lease: float = LEASE_SECONDS) -> Job | None:
        """Keep the lease and add `worked` seconds; None when the round is not this owner's any more."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE rounds SET lease_until = ?, spent = spent + ? WHERE round_id = ? AND owner = ? AND state = 'running'",
                (self._clock() + lease, worked, round_id, owner),
            )
            return _find(connection, round_id) if changed.rowcount else None

    def progress(self, round_id: str, owner: str, *, stage: Stage, step: int, steps: int, eta: float | None, done: int) -> None:
        """Note how far the work is; `done` counts its units over all stages."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE rounds SET stage = :stage, step = :step, steps = :steps, eta = :eta, updated = :now, "
                "crashes = CASE WHEN :done > furthest THEN 0 ELSE crashes END, furthest = max(furthest, :done) "
                "WHERE round_id = :id AND owner = :owner AND state = 'running'",
                {
                    "stage": stage,
                    "step": step,
                    "steps": steps,
                    "eta": eta,
                    "done": done,
                    "now": self._clock(),
                    "id": round_id,
                    "owner": owner,
                },
            )

    def finish(self, round_id: str, owner: str, result: RoundResult) -> None:
        """Keep the result."""
        self._end(round_id, owner, "finished", result=result.model_dump_json())

    def fail(self, round_id: str, owner: str, error: ErrorCode, detail: str) -> None:
        """Give the round up for good."""
        self._end(round_id, owner, "failed", error=error, detail=detail)

    def cancelled(self, round_id: str, owner: str) -> None:
        """Note that the work stopped because it was asked to."""
        self._end(round_id, owner, "cancelled")

    def put_back(
        self, round_id: str, owner: str, error: ErrorCode | None = None, detail: str | None = None, wait: float = 0
    ) -> None:
        """Give the round back to the queue, to be tried again after `wait` seconds."""
        self._end(round_id, owner, "queued", error=error, detail=detail, not_before=self._clock() + wait)

    def crashed(self, round_id: str, owner: str) -> None:
        """Note that the worker ended without a word; the round is queued again, unless that happens again and again."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT 1 FROM rounds WHERE round_id = ? AND owner = ? AND state = 'running'", (round_id, owner)
            ).fetchone()
            if row is not None and not _note_crash(connection, round_id, self._clock()):
                connection.execute(
                    "UPDATE rounds SET state = 'queued', owner = NULL, lease_until = NULL, eta = NULL WHERE round_id = ?",
                    (round_id,),
                )

    # ---- inside

    def _end(self, round_id: str, owner: str, state: SiteState, **values: object) -> None:
        given = {"error": None, "detail": None, "eta": None} | values
        columns = ", ".join(f"{name} = :{name}" for name in given)  # names of our own
        with self._writing() as connection:
            connection.execute(
                f"UPDATE rounds SET state = :state, owner = NULL, lease_until = NULL, updated = :now, {columns} "  # noqa: S608
                "WHERE round_id = :id AND owner = :owner AND state = 'running'",
                {**given, "state": state, "now": self._clock(), "id": round_id, "owner": owner},
            )

    def _decide(self, round_id: str, update: str, value: str) -> Job:
        job = self.get(round_id)
        with self._writing() as connection:
            changed = connection.execute(
                f"{update} WHERE round_id = :id AND state = 'waiting'",
                {"value": value, "now": self._clock(), "id": job.round_id},
            )
            if not changed.rowcount:
                state = _get(connection, job.round_id).state
                raise BadInput(f"Round {job.round_id} is {state} and does not wait for a decision.")
            return _get(connection, job.round_id)

    def _expire(self) -> None:
        """Give up what nobody began before its deadline; a worker gives up what runs."""
        if not self._path.exists():
            return
        now = self._clock()
        with self._open() as connection:
            late = [
                job.round_id
                for row in connection.execute("SELECT * FROM rounds WHERE state IN ('waiting', 'queued')")
                if (job := _job(row)).deadline <= now
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


def _note_crash(connection: sqlite3.Connection, round_id: str, now: float) -> bool:
    """Count one more end without a word; return whether the round was given up for it."""
    connection.execute("UPDATE rounds SET crashes = crashes + 1, updated = ? WHERE round_id = ?", (now, round_id))
    given_up = connection.execute(
        "UPDATE rounds SET state = 'failed', error = 'crashed', owner = NULL, lease_until = NULL, eta = NULL "
        "WHERE round_id = ? AND crashes >= ?",
        (round_id, CRASHES),
    )
    return given_up.rowcount > 0


def _find(connection: sqlite3.Connection, round_id: str) -> Job | None:
    row = connection.execute("SELECT * FROM rounds WHERE round_id = ?", (round_id,)).fetchone()
    return None if row is None else _job(row)


def _get(connection: sqlite3.Connection, round_id: str) -> Job:
    job = _find(connection, round_id)
    if job is None:
        raise BadInput(f"There is no round {round_id!r}.")
    return job


def _job(row: sqlite3.Row) -> Job:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Job)}
    values["offer"] = RoundOffer.model_validate_json(row["offer"]) if row["offer"] else None
    values["result"] = RoundResult.model_validate_json(row["result"]) if row["result"] else None
    values["cancel"] = bool(row["cancel"])
    return Job(**values)


def is_over(job: Job) -> bool:
    """Say whether nothing follows any more."""
    return job.state in TERMINAL
