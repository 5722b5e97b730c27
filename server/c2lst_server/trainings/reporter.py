"""How far a training is, kept in memory by the work itself and written down beside it: a step never waits for the database."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from c2lst_server.trainings.job_queue import Report
from c2lst_server.trainings.store import MOST_POINTS

_PHASES = ("surveying images", "cutting tiles", "pretraining")  # as the library calls them, in their order
_PER_PHASE = 500_000_000  # more than any phase has steps, and three of them fit into the column
_MEAN_OF = 20  # steps


class Reporter:
    """Listens to the progress of the work and to its losses."""

    def __init__(self) -> None:
        self._what = _PHASES[0]
        self._total = self._done = self._first = 0
        self._began = time.monotonic()
        self._losses: Sequence[float] = ()

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Begin a phase of `total` units, `done` of which were finished by an earlier run."""
        self._what, self._total, self._done, self._first, self._began = what, total, done, done, time.monotonic()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` more."""
        self._done += units

    def on_losses(self, losses: Sequence[float]) -> None:
        """Keep the losses of all steps so far, which may still grow."""
        self._losses = losses

    def report(self) -> Report | None:
        """Return how far it is; None before anything began."""
        if not self._total:
            return None
        new, losses = self._done - self._first, list(self._losses)
        spent = time.monotonic() - self._began
        phase = _PHASES.index(self._what) if self._what in _PHASES else 0
        return Report(
            stage="pretrain" if self._what == _PHASES[-1] else "corpus",
            step=self._done,
            steps=self._total,
            eta_seconds=round(spent / new * (self._total - self._done)) if new else None,
            done=phase * _PER_PHASE + min(self._done, _PER_PHASE - 1),
            loss=_mean(losses[-_MEAN_OF:]) if losses else None,
            curve=thinned(losses),
        )


def thinned(losses: Sequence[float], most: int = MOST_POINTS) -> list[tuple[int, float]]:
    """Return at most `most` points (step, mean loss of the steps since the point before)."""
    width = math.ceil(len(losses) / most) or 1
    parts = [(first, losses[first : first + width]) for first in range(0, len(losses), width)]
    return [(first + len(part), _mean(part)) for first, part in parts]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
