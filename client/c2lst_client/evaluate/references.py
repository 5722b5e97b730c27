"""What a number of generated patches is held against: real tissue against itself, shuffled pairs, the unadapted backbone.

Most distances between two sets depend on how large the sets are, and a set of real patches cannot be held against itself
without being halved. So the real patches are halved at random, many times, and each time three sets of one size are held
against the same real half: the other real half, the patches generated for the spots of that other half, and as many patches of
the unadapted backbone. The first says what is as good as it gets, the last what the adapter has to beat.

Halves are drawn from all over the slide, so a patch may lie in one half and its neighbour in the other: the two halves are as
alike as real tissue of one slide can be. N = real patches, H = halvings, R = shuffles.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import RESAMPLES

HALVES = 100
MIN_SPOTS = 8  # patches of either kind: halves of fewer than four say nothing

Rows = npt.NDArray[np.intp]
Halves = tuple[Rows, Rows]  # H x h rows of the one half and of the other, h = N // 2


class SizeMatched(Result):
    """A distance to a real half, for sets of its size: means over `halvings`, and the range that holds 95 % of them.

    The range says how much depends on which patches are in which half. It is no confidence interval for the slide.
    """

    size: int  # patches in each set
    halvings: int
    real_against_real: Interval  # the other real half: as good as it gets
    generated: Interval  # patches generated for the spots of the other half
    unadapted: Interval | None  # patches of the unadapted backbone; None where none were given


class SetDistance(Result):
    """A measure of two sets; intervals are by bootstrap over parts of the slide.

    Generated patches of the same spots are nearer to the real ones than other real tissue could be, for a spot's surroundings
    are in both; halves are of different spots. So only `at_equal_size` compares generated with real against real.
    """

    generated: Interval  # all real against all generated patches
    unadapted: Interval | None  # all real against all patches of the unadapted backbone
    at_equal_size: SizeMatched


def random_halves(count: int, seed: int = 0) -> Halves:
    """Halve `count` rows at random, `HALVES` times; of an odd number one row is left out each time."""
    generator = np.random.default_rng(seed)
    order = generator.permuted(np.broadcast_to(np.arange(count), (HALVES, count)), axis=1)
    size = count // 2
    return order[:, :size], order[:, size : 2 * size]


def random_subsets(count: int, halves: Halves, seed: int = 0) -> Rows:
    """Choose for each halving as many of `count` rows as a half holds, H x h; there must be so many."""
    size = halves[0].shape[1]
    generator = np.random.default_rng(seed)
    return generator.permuted(np.broadcast_to(np.arange(count), (len(halves[0]), count)), axis=1)[:, :size]


def over_halves(
    halves: Halves,
    real: Callable[[Rows, Rows], float],
    generated: Callable[[Rows, Rows], float],
    unadapted: Callable[[Rows, Rows], float] | None,
    *,
    generated_rows: Rows,
    unadapted_rows: Rows | None,
) -> SizeMatched:
    """Measure the three distances for every halving.

    Args:
        halves: of the real patches.
        real: distance between two sets of rows of the real patches.
        generated: distance between rows of the real and rows of the generated patches.
        unadapted: distance between rows of the real and rows of the unadapted patches; None where there are none.
        generated_rows: H x h rows of the generated patches: those of the other half, where they belong to its spots.
        unadapted_rows: H x h rows of the unadapted patches.
    """
    first, second = halves

    def summary(distance: Callable[[Rows, Rows], float], others: Rows) -> Interval:
        return range_of([distance(one, other) for one, other in zip(first, others, strict=True)])

    return SizeMatched(
        size=first.shape[1],
        halvings=len(first),
        real_against_real=summary(real, second),
        generated=summary(generated, generated_rows),
        unadapted=summary(unadapted, unadapted_rows) if unadapted is not None and unadapted_rows is not None else None,
    )


def nearest_other(centres: npt.NDArray[np.floating]) -> Rows:
    """Return for each spot the row of the nearest other one; `centres` is N x 2."""
    from scipy.spatial import KDTree

    found = KDTree(centres).query(centres, k=2)[1]
    own = found[:, 0] == np.arange(len(centres))  # spots at one place may come before the spot itself
    return np.where(own, found[:, 1], found[:, 0])


def shuffles(count: int, seed: int = 0) -> Rows:
    """Shuffle `count` rows, `RESAMPLES` times: which generated patch a spot gets when none belongs to it, R x N."""
    generator = np.random.default_rng(seed)
    return generator.permuted(np.broadcast_to(np.arange(count), (RESAMPLES, count)), axis=1)


def range_of(values: list[float] | npt.NDArray[np.float64]) -> Interval:
    """Return the mean of repeated values and the range that holds 95 % of them."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(value=float(np.mean(values)), low=float(low), high=float(high))
