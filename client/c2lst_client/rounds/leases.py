"""Leases: how workers take rounds up, one owner at a time.

A worker claims a round for some seconds at a time under a name of its own, and every later write names the owner: one that
lost its lease changes nothing any more. What a dead worker left is claimed by the next. The folder of the round is locked
besides (`Site.exclusively`), so that two never work in it whatever clocks say.
"""

from __future__ import annotations

import sqlite3

from c2lst_client.rounds.queue_database import Job, QueueDatabase, find_job, get_job
from c2lst_shared.wire import ErrorCode, RoundResult, SiteState, Stage

LEASE_SECONDS = 30.0
CRASHES = 3  # in a row without getting any further: then it is given up


class Leases(QueueDatabase):
    """The queue's rounds for those who work on them."""

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
            return get_job(connection, row["round_id"])

    def beat(self, round_id: str, owner: str, worked: float, lease: float = LEASE_SECONDS) -> Job | None:
        """Keep the lease and add `worked` seconds; None when the round is not this owner's any more."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE rounds SET lease_until = ?, spent = spent + ? WHERE round_id = ? AND owner = ? AND state = 'running'",
                (self._clock() + lease, worked, round_id, owner),
            )
            return find_job(connection, round_id) if changed.rowcount else None

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

    def _end(self, round_id: str, owner: str, state: SiteState, **values: object) -> None:
        given = {"error": None, "detail": None, "eta": None} | values
        columns = ", ".join(f"{name} = :{name}" for name in given)  # names of our own
        with self._writing() as connection:
            connection.execute(
                f"UPDATE rounds SET state = :state, owner = NULL, lease_until = NULL, updated = :now, {columns} "  # noqa: S608
                "WHERE round_id = :id AND owner = :owner AND state = 'running'",
                {**given, "state": state, "now": self._clock(), "id": round_id, "owner": owner},
            )


def _note_crash(connection: sqlite3.Connection, round_id: str, now: float) -> bool:
    """Count one more end without a word; return whether the round was given up for it."""
    connection.execute("UPDATE rounds SET crashes = crashes + 1, updated = ? WHERE round_id = ?", (now, round_id))
    given_up = connection.execute(
        "UPDATE rounds SET state = 'failed', error = 'crashed', owner = NULL, lease_until = NULL, eta = NULL "
        "WHERE round_id = ? AND crashes >= ?",
        (round_id, CRASHES),
    )
    return given_up.rowcount > 0
