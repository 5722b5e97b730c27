"""Trainings as operators and administrators queue, see, cancel and resume them; trainers work on them (`job_queue.py`)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import case, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, note
from c2lst_server.db.models import Training, UtcDateTime
from c2lst_server.errors import NotThere
from c2lst_server.runs import RunId
from c2lst_server.settings import Settings
from c2lst_server.trainings.plan import TrainingPlan, completed
from c2lst_shared.errors import BadInput
from c2lst_shared.web.words import plain_duration
from c2lst_shared.wire import ErrorCode

MOST_POINTS = 200  # of a loss curve
OVER = ("finished", "failed", "cancelled")

State = Literal["queued", "running", "stalled", "cancelling", "finished", "failed", "cancelled"]
Loss = Annotated[float, Field(allow_inf_nan=False)]


class TrainingSummary(BaseModel):
    """One training in a list."""

    training_id: str
    run: RunId
    state: State  # stalled: its trainer is silent, and another takes it up
    plan: TrainingPlan
    queued: AwareDatetime
    started: AwareDatetime | None
    updated: AwareDatetime | None  # when it last said how far it is
    ended: AwareDatetime | None
    stage: Literal["corpus", "pretrain"] | None
    step: int | None  # of the stage
    steps: int | None
    eta_seconds: int | None  # of the stage, at `updated`
    loss: Loss | None  # mean of the last steps
    crashes: int  # ends without a word since it last got any further
    error: ErrorCode | None  # why it failed, or why it waits to be tried again

    @property
    def is_over(self) -> bool:
        """Whether no trainer works on it any more, or will unless it is resumed."""
        return self.state in OVER

    def in_words(self) -> str:
        """The state for people."""
        if self.state == "stalled":
            return "stalled: its trainer is silent; another goes on from the checkpoint (c2lst-server trainer)"
        words: str = self.state
        if self.state in {"running", "cancelling"} and self.steps:
            left = f", {plain_duration(self.eta_seconds)} left in this stage" if self.eta_seconds is not None else ""
            words = f"{words}: {self.stage} {self.step}/{self.steps}{left}"
        if self.loss is not None and self.stage == "pretrain" and self.state != "queued":
            words += f", loss {self.loss:.4f}"
        return f"{words} ({self.error.replace('_', ' ')})" if self.error else words


class LossPoint(BaseModel):
    """One point of the loss curve: the mean over the steps since the point before."""

    step: int
    loss: Loss


class TrainingView(TrainingSummary):
    """One training with its loss curve and, when it is finished, its metrics."""

    curve: Annotated[list[LossPoint], Field(max_length=MOST_POINTS)]
    metrics: dict[str, Loss]


def queue(session: Session, settings: Settings, wanted: TrainingPlan, *, now: datetime | None = None) -> TrainingView:
    """Keep a new training; the next trainer that is free works on it.

    Raises:
        BadInput: the images cannot be named, or the name of the run is taken.
    """
    plan, now = checked(session, settings, wanted), now or datetime.now(UTC)
    row = Training(
        training_id=secrets.token_hex(8),
        run_id=plan.run,
        plan=plan.model_dump_json(),
        state="queued",
        queued=now,
        not_before=now,
        cancel=False,
        crashes=0,
        furthest=0,
    )
    session.add(row)
    note(session, Action.QUEUED_TRAINING, row.run_id, f"preset {plan.preset}, images {plan.images}, {plan.steps} steps", now)
    try:
        session.commit()
    except IntegrityError:  # somebody else took the name at the same time
        session.rollback()
        checked(session, settings, wanted)
        raise
    return _view(row, now)


def checked(session: Session, settings: Settings, wanted: TrainingPlan) -> TrainingPlan:
    """Return the plan as it would be queued; nothing is kept.

    Raises:
        BadInput: as `queue`.
    """
    plan = completed(settings, wanted)
    taken = session.scalar(select(Training).where(Training.run_id == plan.run))
    if taken is not None:
        raise BadInput(
            f"Run {plan.run!r} is that of training {taken.training_id} ({taken.state}); resume that one, or give this one "
            "another name for its run."
        )
    return plan


def list_trainings(
    session: Session, *, limit: int = 10**9, offset: int = 0, now: datetime | None = None
) -> list[TrainingSummary]:
    """Return trainings, the newest first."""
    now = now or datetime.now(UTC)
    rows = session.scalars(select(Training).order_by(Training.queued.desc(), Training.id.desc()).limit(limit).offset(offset))
    return [TrainingSummary.model_validate(_summary(row, now)) for row in rows]


def show(session: Session, training_id: str, *, now: datetime | None = None) -> TrainingView:
    """Return the training that `training_id`, an unambiguous beginning of it, or the name of its run, names.

    Raises:
        NotThere: there is none, or there are several.
    """
    return _view(_find(session, training_id), now or datetime.now(UTC))


def why(session: Session, training_id: str) -> str | None:
    """Return the error of a training in words, which may name paths of this machine."""
    return _find(session, training_id).detail


def cancel(session: Session, training_id: str, *, now: datetime | None = None) -> TrainingView:
    """Give a training up: at once when nobody works on it, else its trainer is asked to save and stop.

    Raises:
        NotThere: there is none.
        BadInput: it is over.
    """
    row, now = _find(session, training_id), now or datetime.now(UTC)
    idle = or_(Training.state == "queued", Training.lease_until < now)
    values = {
        "state": case((idle, "cancelled"), else_=Training.state),
        "ended": case((idle, literal(now, UtcDateTime)), else_=Training.ended),
        "owner": case((idle, None), else_=Training.owner),
        "cancel": case((idle, False), else_=True),
    }
    refusal = f"Training {row.training_id} is over, so there is nothing to cancel."
    _change(session, row, values, ("queued", "running"), refusal, Action.STOPPED_TRAINING)
    return _view(row, now)


def resume(session: Session, training_id: str, *, now: datetime | None = None) -> TrainingView:
    """Queue a training again that was cancelled or failed; it goes on from its checkpoint.

    Raises:
        NotThere: there is none.
        BadInput: it waits, runs or is finished.
    """
    row, now = _find(session, training_id), now or datetime.now(UTC)
    values = {"state": "queued", "queued": now, "not_before": now, "crashes": 0, "ended": None, "error": None, "detail": None}
    _change(
        session,
        row,
        values | {"cancel": False},
        ("cancelled", "failed"),
        f"Training {row.training_id} is {state_of(row, now)}; only one that was cancelled or failed is resumed.",
        Action.RESUMED_TRAINING,
    )
    return _view(row, now)


def _change(
    session: Session, row: Training, values: Mapping[str, object], states: Sequence[str], refusal: str, action: Action
) -> None:
    """Change a row that is in one of the states, in one statement: a trainer may change it at the same time."""
    changed = session.execute(
        update(Training)
        .where(Training.id == row.id, Training.state.in_(states))
        .values(**values)
        .returning(Training.id)
        .execution_options(synchronize_session=False)
    ).first()
    if changed is not None:
        note(session, action, row.run_id)
    session.commit()
    if changed is None:
        raise BadInput(refusal)
    session.refresh(row)


def _find(session: Session, wanted: str) -> Training:
    by_name = or_(Training.run_id == wanted, Training.training_id.startswith(wanted, autoescape=True))
    rows = list(session.scalars(select(Training).where(by_name))) if wanted else []
    exact = [row for row in rows if wanted in {row.run_id, row.training_id}]
    if len(exact or rows) != 1:
        latest = session.scalars(select(Training).order_by(Training.queued.desc()).limit(10))
        known = ", ".join(f"{row.training_id} ({row.run_id})" for row in rows or latest) or "none yet"
        count = len(rows) or "no"
        raise NotThere(f"{wanted!r} names {count} training{'s' * (len(rows) > 1)}; the trainings are: {known}.")
    return (exact or rows)[0]


def _view(row: Training, now: datetime) -> TrainingView:
    curve = [{"step": step, "loss": loss} for step, loss in json.loads(row.curve or "[]")]
    return TrainingView.model_validate(_summary(row, now) | {"curve": curve, "metrics": json.loads(row.metrics or "{}")})


def _summary(row: Training, now: datetime) -> dict[str, object]:
    values = {name: getattr(row, name) for name in TrainingSummary.model_fields if name not in {"run", "plan", "state"}}
    plan = TrainingPlan.model_validate_json(row.plan)
    return values | {"run": row.run_id, "plan": plan, "state": state_of(row, now)}


def state_of(row: Training, now: datetime) -> State:
    """Return how a training stands: its trainer may be silent, or asked to stop."""
    if row.state != "running":
        return cast("State", row.state)
    if row.lease_until is not None and row.lease_until < now:
        return "stalled"
    return "cancelling" if row.cancel else "running"
