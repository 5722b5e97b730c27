"""The queue of trainings in figures, for whoever watches it: how many there are in each state, and who waits or is silent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from c2lst_server.db.models import Training
from c2lst_server.trainings.job_queue import LEASE_SECONDS
from c2lst_server.trainings.store import State, state_of


@dataclass(frozen=True)
class QueueFigures:
    """The queue at one moment."""

    states: Counter[str]  # every state is there, also with none
    longest_wait: float  # seconds for which the oldest that waits could have been taken up; 0 when none waits
    longest_silence: float  # seconds since the oldest last heartbeat of those that are worked on; 0 when none is


def read_queue(session: Session, now: datetime) -> QueueFigures:
    """Return how the queue stands."""
    columns = (Training.state, Training.cancel, Training.not_before, Training.lease_until)
    rows = list(session.scalars(select(Training).options(load_only(*columns))))  # without plans and curves
    states = Counter(dict.fromkeys(get_args(State), 0))
    states.update(state_of(row, now) for row in rows)
    # Each heartbeat moves the end of the lease, so that is where the last one can be read.
    beats = [row.lease_until - timedelta(seconds=LEASE_SECONDS) for row in rows if row.state == "running" and row.lease_until]
    return QueueFigures(
        states,
        longest_wait=_longest([row.not_before for row in rows if row.state == "queued"], now),
        longest_silence=_longest(beats, now),
    )


def _longest(since: list[datetime], now: datetime) -> float:
    """Seconds since the earliest of these moments; none, and those that lie ahead, count as now."""
    return (now - min([now, *since])).total_seconds()
