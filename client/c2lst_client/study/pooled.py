"""Intervals over several divisions of one slide: the same parts of the slide, seeds and divisions are drawn for every arm.

Divisions share the slide, so their held-out spots are not independent: a draw takes parts of the slide (as
`evaluate/statistics.py` does), and each division is measured on those of its held-out spots that lie in them. D divisions,
S spots of the slide, T held-out spots of a division, K training seeds, R draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.statistics import Estimate, resample

Floats = npt.NDArray[np.float64]


class DivisionErrors(NamedTuple):
    """Errors of all arms on one division."""

    rows: npt.NDArray[np.intp]  # T: the held-out spots among all S
    of_arm: Mapping[str, Floats]  # label -> K x T, absolute error averaged over genes (K = 1 where nothing is trained)


class Pooled:
    """Errors over divisions, ready for questions about any arms that all of them have."""

    def __init__(self, divisions: Sequence[DivisionErrors], centres: npt.NDArray[np.floating], *, seed: int = 0) -> None:
        """Draw once for everything that is asked.

        Args:
            divisions: D of one kind (method and fraction). What is asked about arms is answered by those that have all of them.
            centres: S x 2, where all spots of the slide lie.
            seed: of the draws.
        """
        self._divisions, self._centres, self._seed = divisions, centres, seed
        seeds = max(errors.shape[0] for division in divisions for errors in division.of_arm.values())
        self._draws = resample(len(centres), seeds, centres=centres, seed=seed)

    @property
    def units(self) -> str:
        """What was drawn, in words."""
        return f"{self._draws.units}, {len(self._divisions)} division{'s' if len(self._divisions) > 1 else ''} and the seeds"

    def divisions_with(self, *arms: str) -> int:
        """How many divisions answer a question about these arms."""
        return len(self._having(arms))

    def error(self, arm: str) -> Interval:
        """Mean error of an arm."""
        (estimate,) = self._estimates(arm)
        return estimate.interval(0)

    def change(self, arm: str, against: str) -> Interval:
        """Relative change of the mean error of `arm` against another arm; negative is better."""
        ours, theirs = self._estimates(arm, against)
        return Estimate(ours.value / theirs.value - 1, ours.draws / theirs.draws - 1, ours.stretch).interval()

    def _having(self, arms: Sequence[str]) -> list[DivisionErrors]:
        return [division for division in self._divisions if all(arm in division.of_arm for arm in arms)]

    def _estimates(self, *arms: str) -> list[Estimate]:
        divisions = self._having(arms)
        # Divisions weigh as seeds do: few of them vary too little among themselves, which is made up for.
        weights = resample(len(self._centres), len(divisions), centres=self._centres, seed=self._seed + 1).seeds  # R x D
        return [self._estimate(arm, divisions, weights) for arm in arms]

    def _estimate(self, arm: str, divisions: Sequence[DivisionErrors], weights: Floats) -> Estimate:
        values, draws = [], []
        for division in divisions:
            errors = division.of_arm[arm]
            spots = self._draws.spots[:, division.rows]
            per_seed = (spots @ errors.T) / np.maximum(spots.sum(axis=1, keepdims=True), 1e-12)  # R x K
            seeds = self._draws.seeds if len(errors) > 1 else np.ones((1, 1))
            values.append(errors.mean())
            draws.append((per_seed * seeds).sum(axis=1))
        return Estimate(float(np.mean(values)), (np.stack(draws, axis=1) * weights).sum(axis=1), self._draws.stretch)
