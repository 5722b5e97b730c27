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
            divisions: D of one kind (method and fraction).
            centres: S x 2, where all spots of the slide lie.
            seed: of the draws.
        """
        self._divisions = divisions
        seeds = max(errors.shape[0] for division in divisions for errors in division.of_arm.values())
        self._draws = resample(len(centres), seeds, centres=centres, seed=seed)
        # Divisions weigh as seeds do: few of them vary too little among themselves, which is made up for.
        self._weights = resample(len(centres), len(divisions), centres=centres, seed=seed + 1).seeds  # R x D

    @property
    def units(self) -> str:
        """What was drawn, in words."""
        return f"{self._draws.units}, {len(self._divisions)} division{'s' if len(self._divisions) > 1 else ''} and the seeds"

    def error(self, arm: str) -> Interval:
        """Mean error of an arm."""
        return self._estimate(arm).interval(0)

    def change(self, arm: str, against: str) -> Interval:
        """Relative change of the mean error of `arm` against another arm; negative is better."""
        ours, theirs = self._estimate(arm), self._estimate(against)
        return Estimate(ours.value / theirs.value - 1, ours.draws / theirs.draws - 1, ours.stretch).interval()

    def difference_of_changes(self, arm: str, other: str, against: str) -> Interval:
        """Change of `arm` minus change of `other`, both against the same arm."""
        ours, others, theirs = (self._estimate(each) for each in (arm, other, against))
        value = (ours.value - others.value) / theirs.value
        return Estimate(value, (ours.draws - others.draws) / theirs.draws, ours.stretch).interval()

    def _estimate(self, arm: str) -> Estimate:
        values, draws = [], []
        for division in self._divisions:
            errors = division.of_arm[arm]
            weights = self._draws.spots[:, division.rows]
            per_seed = (weights @ errors.T) / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)  # R x K
            seeds = self._draws.seeds if len(errors) > 1 else np.ones((1, 1))
            values.append(errors.mean())
            draws.append((per_seed * seeds).sum(axis=1))
        return Estimate(float(np.mean(values)), (np.stack(draws, axis=1) * self._weights).sum(axis=1), self._draws.stretch)
