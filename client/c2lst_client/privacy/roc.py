"""How well a score tells members from non-members: AUC, and the true-positive rate at a false-positive rate of 1 %.

An attack that is right about few spots and sure of them harms more than its AUC says, hence the second number (Carlini et al.
2022, "Membership inference attacks from first principles", section III). Members and non-members are drawn independently, each
by parts of the slide. A high score says "member". N members, M non-members, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.statistics import Estimate, Resamples, resample
from c2lst_client.privacy.results import AttackResult, RocCurve
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]

FPR = 0.01
CURVE = np.concatenate([np.linspace(0, 0.05, 11)[:-1], np.linspace(0.05, 1, 39)])  # false-positive rates of the curve
MIN_SPOTS = 10  # on either side; with fewer, no interval means anything


class Draws(NamedTuple):
    """Resamples of either side; the same for all attacks that are compared."""

    members: Resamples
    non_members: Resamples

    @property
    def stretch(self) -> float:
        """The larger of both: few units on one side widen the whole."""
        return max(self.members.stretch, self.non_members.stretch)

    @property
    def units(self) -> str:
        """What was drawn, in words."""
        return f"{self.members.units} with members, {self.non_members.units} with non-members"


def draws(members: npt.NDArray[np.floating], non_members: npt.NDArray[np.floating], seed: int = 0) -> Draws:
    """Draw parts of the slide on either side.

    Args:
        members: N x 2, centres of the spots on the slide.
        non_members: M x 2.
        seed: of the draws.

    Raises:
        BadInput: a side has fewer than `MIN_SPOTS` spots.
    """
    if min(len(members), len(non_members)) < MIN_SPOTS:
        raise BadInput(
            f"{len(members)} members and {len(non_members)} non-members are too few to measure privacy, {MIN_SPOTS} are needed "
            "on either side; adapt with `--split blocked`, which leaves more tissue away from the training spots."
        )
    return Draws(
        resample(len(members), centres=members, seed=seed), resample(len(non_members), centres=non_members, seed=seed + 1)
    )


def auc(members: Floats, non_members: Floats, drawn: Draws) -> Estimate:
    """Return the probability that a member scores higher than a non-member; a tie counts half."""
    wins = _wins(members, non_members)
    value = float(wins.mean())
    resampled = ((drawn.members.spots @ wins) * drawn.non_members.spots).sum(axis=1)
    return Estimate(value, resampled, drawn.stretch)


def measure_attack(attack: str, members: Floats, non_members: Floats, drawn: Draws) -> AttackResult:
    """Measure a score on both sides.

    Args:
        attack: what the score is, in words.
        members: N scores, high for "member".
        non_members: M scores.
        drawn: of the same N and M spots.
    """
    curve, resampled = _true_positives(members, non_members, drawn, CURVE)
    low, high = _band(curve, resampled, drawn.stretch)
    at_one_percent, its_draws = _true_positives(members, non_members, drawn, np.array([FPR]))
    return AttackResult(
        attack=attack,
        auc=auc(members, non_members, drawn).interval(0, 1),
        tpr=_with_counting_error(Estimate(float(at_one_percent[0]), its_draws[:, 0], drawn.stretch), len(members)),
        smallest_fpr=1 / len(non_members),
        members=len(members),
        non_members=len(non_members),
        units=drawn.units,
        roc=RocCurve(fpr=CURVE.tolist(), tpr=curve.tolist(), low=low.tolist(), high=high.tolist()),
    )


def binomial(found: int, of: int) -> Interval:
    """Return a share with its exact 95 % interval (Clopper and Pearson 1934): wide enough where none or all were found."""
    from scipy.stats import binomtest

    exact = binomtest(found, of).proportion_ci(0.95, method="exact")
    return Interval(value=found / of, low=float(exact.low), high=float(exact.high))


def _wins(members: Floats, non_members: Floats) -> Floats:
    """Return N x M: 1 where the member scores higher, 0.5 in a tie."""
    above = members[:, None] > non_members
    return np.asarray(above + 0.5 * (members[:, None] == non_members))


def _true_positives(members: Floats, non_members: Floats, drawn: Draws, rates: Floats) -> tuple[Floats, Floats]:
    """Return the true-positive rates at the false-positive `rates`: K on all spots, and R x K in the resamples.

    The threshold is the lowest at which no more than that share of non-members scores higher; members must exceed it.
    """
    falling = np.sort(non_members)[::-1]
    order = np.argsort(-non_members, kind="stable")
    found = np.concatenate([(members[:, None] > falling), np.ones((len(members), 1), bool)], axis=1).astype(np.float64)

    def at(of_members: Floats, of_non_members: Floats) -> Floats:
        passed = np.cumsum(of_non_members[:, order], axis=1)  # share of non-members down to each threshold, R x M
        rising = np.minimum(of_members @ found, 1)  # true-positive rate there, R x (M + 1)
        first_beyond = [(passed <= rate + 1e-12).sum(axis=1) for rate in rates]
        return np.stack([np.take_along_axis(rising, first[:, None], 1)[:, 0] for first in first_beyond], axis=1)

    even = (np.full((1, len(members)), 1 / len(members)), np.full((1, len(non_members)), 1 / len(non_members)))
    return at(*even)[0], at(drawn.members.spots, drawn.non_members.spots)


def _band(curve: Floats, resampled: Floats, stretch: float) -> tuple[Floats, Floats]:
    low, high = curve + stretch * (np.percentile(resampled, [2.5, 97.5], axis=0) - curve)
    return np.clip(low, 0, curve), np.clip(high, curve, 1)


def _with_counting_error(estimate: Estimate, count: int) -> Interval:
    """Return the wider of the bootstrap's and the binomial interval: no resample of none found ever finds one."""
    drawn, exact = estimate.interval(0, 1), binomial(round(estimate.value * count), count)
    return Interval(value=estimate.value, low=min(drawn.low, exact.low), high=max(drawn.high, exact.high))
