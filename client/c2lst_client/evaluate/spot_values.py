"""One number per spot, measured on its real and on its generated patch: does it follow spot by spot, and is it spread alike?

Spot by spot: Pearson's r, and Lin's concordance, which also demands the same level. Over the slide: the Wasserstein distance of
the two distributions, in the number's own unit. References as everywhere: shuffled pairs are the floor of the concordance, real
patches of neighbouring spots its ceiling; real against real is what a distance can fall to. N = spots, M = unadapted patches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.references import (
    MIN_SPOTS,
    SetDistance,
    nearest_other,
    over_halves,
    random_halves,
    random_subsets,
    range_of,
    shuffles,
)
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import concordance, correlation, mean_per_spot, resample
from c2lst_client.evaluate.wasserstein import wasserstein, wasserstein_estimate

Floats = npt.NDArray[np.float64]


class ValueComparison(Result):
    """A number on real and on generated patches; intervals are by bootstrap over parts of the slide."""

    name: str
    unit: str  # "" for shares
    spots: int  # where both patches have the number
    units: str  # what the bootstrap drew, in words
    real_mean: Interval
    generated_mean: Interval
    r: Interval
    concordance: Interval
    concordance_shuffled: Interval  # floor: mean of many shuffles and the range that holds 95 % of them
    concordance_real_neighbours: Interval | None  # ceiling: real against real of the nearest other spot; None without centres
    wasserstein: SetDistance
    real: list[float]  # per spot
    generated: list[float]


class PerSpot(NamedTuple):
    """A number of each patch; NaN where a patch has none, such as the mean area of no nuclei."""

    real: Floats  # N
    generated: Floats  # N
    unadapted: Floats | None = None  # M


def compare_values(
    values: PerSpot, *, name: str, unit: str, centres: npt.NDArray[np.floating] | None = None, seed: int = 0
) -> ValueComparison | None:
    """Compare one number of real and generated patches over the spots where both have it.

    Args:
        values: of all patches.
        name: of the number, in words.
        unit: of the number.
        centres: N x 2 positions of the spots.
        seed: of shuffles, halves and bootstrap.

    Returns:
        None when fewer than `MIN_SPOTS` spots have the number on both patches: nothing can be said then.
    """
    kept = np.isfinite(values.real) & np.isfinite(values.generated)
    if kept.sum() < MIN_SPOTS:
        return None
    real, generated = values.real[kept], values.generated[kept]
    places = None if centres is None else np.asarray(centres, np.float64)[kept]
    draws = resample(len(real), centres=places, seed=seed)
    neighbour = None if places is None else real[nearest_other(places)]
    return ValueComparison(
        name=name,
        unit=unit,
        spots=len(real),
        units=draws.units,
        real_mean=mean_per_spot(real, draws).interval(),
        generated_mean=mean_per_spot(generated, draws).interval(),
        r=correlation(real, generated, draws).interval(-1, 1),
        concordance=concordance(real, generated, draws).interval(-1, 1),
        concordance_shuffled=_shuffled(real, generated, seed),
        concordance_real_neighbours=None if neighbour is None else concordance(real, neighbour, draws).interval(-1, 1),
        wasserstein=_distance(real, generated, values.unadapted, places, seed),
        real=real.tolist(),
        generated=generated.tolist(),
    )


def _distance(real: Floats, generated: Floats, unadapted: Floats | None, centres: Floats | None, seed: int) -> SetDistance:
    halves = random_halves(len(real), seed)
    others = None if unadapted is None else unadapted[np.isfinite(unadapted)]
    if others is not None and len(others) < halves[0].shape[1]:
        others = None
    draws = resample(len(real), centres=centres, seed=seed)
    return SetDistance(
        generated=wasserstein_estimate(real, generated, draws, draws).interval(0),
        unadapted=(
            None
            if others is None
            else wasserstein_estimate(real, others, draws, resample(len(others), seed=seed + 2)).interval(0)
        ),
        at_equal_size=over_halves(
            halves,
            lambda one, two: wasserstein(real[one], real[two]),
            lambda one, two: wasserstein(real[one], generated[two]),
            None if others is None else lambda one, two: wasserstein(real[one], others[two]),
            generated_rows=halves[1],
            unadapted_rows=None if others is None else random_subsets(len(others), halves, seed + 2),
        ),
    )


def _shuffled(real: Floats, generated: Floats, seed: int) -> Interval:
    """Return the concordance of shuffled pairs; means and spreads stay, so that only the covariance changes."""
    mixed = generated[shuffles(len(real), seed)]
    covariance = (mixed - generated.mean()) @ (real - real.mean()) / len(real)
    spread = real.var() + generated.var() + (real.mean() - generated.mean()) ** 2
    return range_of(2 * covariance / spread if spread > 1e-18 else np.zeros(len(mixed)))
