"""The queue as trainers use it: any number of them, on any number of machines, over SQLite or PostgreSQL.

A trainer claims one training for some seconds at a time (a lease) under a name of its own, and every later write names the
owner: one that lost its lease changes nothing any more. What a dead trainer left is claimed by the next. Times are those of
the wall clock, so that they mean the same after a restart; the folder of the run is locked besides, so that two never work in
it whatever clocks say. Every change is one statement that names the state which it expects, and none follows a read in its
transaction: PostgreSQL then never makes one trainer wait for another (SKIP LOCKED), and SQLite never refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, literal, or_, select, update
from sqlalchemy.orm import aliased

from c2lst_server.db.models import Training, UtcDateTime
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_shared.wire import ErrorCode

LEASE_SECONDS = 60.0
CRASHES = 3  # in a row without getting any further: then it is given up
MOST_DETAIL = 2000  # characters of an error's words


@dataclass(frozen=True)
class Claimed:
    """A training that its owner works on."""

    training_id: str
    plan: TrainingPlan
    owner: str


@dataclass(frozen=True)
class Report:
    """How far it is."""

    stage: Literal["corpus", "pretrain"]
    step: int
    steps: int
    eta_seconds: int | None
    done: int  # rises through all stages
    loss: float | None = None
    curve: Sequence[tuple[int, float]] = ()


class TrainingQueue:
    """The queue in a database. Every method raises `sqlalchemy.exc.SQLAlchemyError` when that does not answer."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock

    def claim(self, owner: str, lease: float = LEASE_SECONDS) -> Claimed | None:
        """Take the oldest training that may be worked on, or None: one that is queued, or whose trainer is dead."""
        now = self._clock()
        other = aliased(Training)
        oldest = (
            select(other.id)
            .where(_may_be_claimed(other, now))
            .order_by(other.queued, other.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        values = {
            "crashes": case((Training.state == "running", Training.crashes + 1), else_=Training.crashes),
            "state": "running",
            "owner": owner,
            "lease_until": now + timedelta(seconds=lease),
            "started": func.coalesce(Training.started, literal(now, UtcDateTime)),
            "eta_seconds": None,
            "error": None,
            "detail": None,
        }
        with self._engine.begin() as connection:
            _give_up(connection, now)
            row = connection.execute(
                update(Training)
                .where(Training.id == oldest, _may_be_claimed(Training, now))
                .values(**values)
                .returning(Training.training_id, Training.plan)
            ).first()
        return None if row is None else Claimed(row.training_id, TrainingPlan.model_validate_json(row.plan), owner)

    def find(self, training_id: str, owner: str) -> Claimed | None:
        """Return the training if this owner works on it."""
        mine = and_(Training.training_id == training_id, Training.owner == owner, Training.state == "running")
        with self._engine.connect() as connection:
            plan = connection.scalar(select(Training.plan).where(mine))
        return None if plan is None else Claimed(training_id, TrainingPlan.model_validate_json(plan), owner)

    def beat(self, claimed: Claimed, lease: float, report: Report | None = None) -> Literal["go on", "cancel", "lost"]:
        """Keep the lease and write down how far it is; say whether it is this owner's still, and whether it is to stop."""
        now = self._clock()
        values: dict[str, Any] = {"lease_until": now + timedelta(seconds=lease)}
        if report is not None:
            further = report.done > Training.furthest
            values |= _reported(report) | {
                "updated": now,
                "crashes": case((further, 0), else_=Training.crashes),
                "furthest": case((further, report.done), else_=Training.furthest),
            }
        found = self._change(claimed, values)
        return "lost" if found is None else "cancel" if found else "go on"

    def finish(self, claimed: Claimed, metrics: Mapping[str, float]) -> None:
        """Note that the run is trained."""
        self._end(claimed, "finished", step=Training.steps, metrics=json.dumps(dict(metrics)))

    def fail(self, claimed: Claimed, error: ErrorCode, detail: str) -> None:
        """Give the training up; it can be resumed."""
        self._end(claimed, "failed", error=error, detail=detail[:MOST_DETAIL])

    def cancelled(self, claimed: Claimed) -> None:
        """Note that the work stopped because it was asked to; it can be resumed."""
        self._end(claimed, "cancelled")

    def put_back(self, claimed: Claimed, error: ErrorCode | None = None, detail: str | None = None, *, wait: float = 0) -> None:
        """Give the training back, to be taken up again after `wait` seconds; one that was to be cancelled is cancelled."""
        state = case((Training.cancel, "cancelled"), else_="queued")
        again = self._clock() + timedelta(seconds=wait)
        self._end(claimed, state, error=error, detail=detail and detail[:MOST_DETAIL], not_before=again)

    def crashed(self, claimed: Claimed, detail: str | None = None, *, wait: float = 0) -> None:
        """Note that the work ended as nobody foresaw; it is tried again, unless that happens again and again."""
        again, often = self._clock() + timedelta(seconds=wait), Training.crashes + 1 >= CRASHES
        state = case((Training.cancel, "cancelled"), (often, "failed"), else_="queued")
        error = case((Training.cancel, None), (often, "crashed"), else_=None)
        words = detail and detail[:MOST_DETAIL]
        self._end(claimed, state, error=error, detail=words, crashes=Training.crashes + 1, not_before=again)

    def _end(self, claimed: Claimed, state: str | ColumnElement[str], **values: object) -> None:
        now = literal(self._clock(), UtcDateTime)
        ended = now if isinstance(state, str) else case((state != "queued", now), else_=None)
        cleared = {"owner": None, "lease_until": None, "eta_seconds": None, "cancel": False, "error": None, "detail": None}
        self._change(claimed, cleared | {"state": state, "ended": ended} | values)

    def _change(self, claimed: Claimed, values: Mapping[str, object]) -> bool | None:
        """Change the row while it is the owner's; return whether it is to be cancelled, None when it is not the owner's."""
        mine = and_(Training.training_id == claimed.training_id, Training.owner == claimed.owner, Training.state == "running")
        with self._engine.begin() as connection:
            row = connection.execute(update(Training).where(mine).values(**values).returning(Training.cancel)).first()
        return None if row is None else bool(row.cancel)


def _may_be_claimed(table: type[Training], now: datetime) -> ColumnElement[bool]:
    return or_(and_(table.state == "queued", table.not_before <= now), _is_silent(table, now))


def _is_silent(table: type[Training], now: datetime) -> ColumnElement[bool]:
    return and_(table.state == "running", table.lease_until < now)


def _give_up(connection: Connection, now: datetime) -> None:
    """End what a dead trainer left and nobody is to take up: it was cancelled, or it died too often at the same place."""
    ended = {"ended": now, "owner": None, "lease_until": None, "eta_seconds": None, "cancel": False}
    silent, often = _is_silent(Training, now), Training.crashes + 1 >= CRASHES
    connection.execute(update(Training).where(silent, Training.cancel).values(state="cancelled", **ended))
    connection.execute(
        update(Training).where(silent, often).values(state="failed", error="crashed", crashes=Training.crashes + 1, **ended)
    )


def _reported(report: Report) -> dict[str, Any]:
    values = {name: getattr(report, name) for name in ("stage", "step", "steps", "eta_seconds")}
    if report.loss is not None:
        values |= {"loss": report.loss, "curve": json.dumps(report.curve)}
    return values
