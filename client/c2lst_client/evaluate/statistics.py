"""Intervals by bootstrap over held-out spots and training seeds, and what they allow to say.

Neighbouring spots are alike, so drawing single spots would make intervals far too narrow: where centres are known, whole
rectangles of the slide are drawn (a block bootstrap). Few rectangles vary too little among themselves; Student's t makes up
for it. All arms of a comparison are measured on the same draws, spots and seeds alike, so a difference between them is a
paired one. K = seeds, S = held-out spots, G = genes, R = resamples.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Comparison, Interval

Floats = npt.NDArray[np.float64]
Direction = Literal["better", "unclear", "worse"]

RESAMPLES = 2000
BLOCKS = 16  # rectangles that the slide is divided into: more would be smaller than what makes neighbours alike
MIN_PER_BLOCK = 4  # spots; where there are too few for `MIN_BLOCKS` such rectangles, single spots are drawn
MIN_BLOCKS = 8


class Resamples(NamedTuple):
    """The same draws for everything that is compared; each row of either array sums to 1."""

    spots: Floats  # R x S: weight of each spot in each draw
    seeds: Floats  # R x K: weight of each seed
    units: str  # what was drawn, in words: "16 parts of the slide"
    stretch: float  # by which the draws vary too little for their number of units


class Estimate(NamedTuple):
    """A number measured on all spots, and what it is in each resample; two on the same draws make a paired difference."""

    value: float
    draws: Floats  # R
    stretch: float  # of the resamples

    def interval(self, lowest: float = -np.inf, highest: float = np.inf) -> Interval:
        """Return the number with the central 95 % of its resampled values, stretched as few units need, within its range."""
        low, high = self.value + self.stretch * (np.percentile(self.draws, [2.5, 97.5]) - self.value)
        return Interval(value=self.value, low=float(max(low, lowest)), high=float(min(high, highest)))

    def recentred(self) -> Estimate:
        """Return the number with draws that lie around it.

        For distances that repeated draws enlarge: a spot drawn twice leaves out another, so a resampled set is poorer than the
        set it comes from. How far the draws scatter is kept, how far they lie off is not.
        """
        return Estimate(self.value, self.draws - self.draws.mean() + self.value, self.stretch)

    def minus(self, other: Estimate) -> Estimate:
        """Return the difference to another estimate on the same draws."""
        return Estimate(self.value - other.value, self.draws - other.draws, self.stretch)


def resample(spots: int, seeds: int = 1, *, centres: npt.NDArray[np.floating] | None = None, seed: int = 0) -> Resamples:
    """Draw spots (or rectangles of spots) and seeds with replacement, `RESAMPLES` times.

    Args:
        spots: S.
        seeds: K.
        centres: S x 2, where the spots lie on the slide; None draws single spots.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    blocks = np.arange(spots) if centres is None else spatial_blocks(centres)
    count = int(blocks.max()) + 1
    weights = _multiplicities(count, generator)[:, blocks].astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    units = f"{spots} single spots" if count == spots else f"{count} parts of the slide"
    return Resamples(weights, _seed_weights(seeds, generator), units, _stretch(count))


def spatial_blocks(centres: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Return for each spot the number, from 0, of the rectangle of the slide that it lies in; every number occurs.

    There are about `BLOCKS` nearly square ones, fewer for few spots; with too few spots each one is its own block.

    Args:
        centres: S x 2.
    """
    wanted = min(BLOCKS, len(centres) // MIN_PER_BLOCK)
    if wanted < MIN_BLOCKS:
        return np.arange(len(centres))
    relative = centres - centres.min(axis=0)
    extent = np.maximum(relative.max(axis=0), 1e-9)
    columns = np.clip(round(np.sqrt(wanted * extent[0] / extent[1])), 1, wanted)
    number = np.array([columns, max(round(wanted / columns), 1)])
    cells = np.minimum(relative / extent * number, number - 1).astype(np.intp)
    _, block = np.unique(cells, axis=0, return_inverse=True)
    return block.ravel()


def mean_per_spot(values: Floats, resamples: Resamples) -> Estimate:
    """Return the mean of one value per spot, S."""
    return Estimate(float(values.mean()), resamples.spots @ values, resamples.stretch)


def mae_interval(errors: Floats, resamples: Resamples) -> Interval:
    """Return the mean error; `errors` is K x S, the absolute error per seed and spot, averaged over genes."""
    return Estimate(float(errors.mean()), _resampled_mean(errors, resamples), resamples.stretch).interval()


def change_interval(errors: Floats, reference: Floats, resamples: Resamples) -> Interval:
    """Return the change of the mean error relative to `reference`, paired; both are K x S (or 1 x S where no seed matters)."""
    draws = _resampled_mean(errors, resamples) / _resampled_mean(reference, resamples) - 1.0
    return Estimate(float(errors.mean() / reference.mean() - 1.0), draws, resamples.stretch).interval()


def pearson_per_gene(truth: npt.NDArray[np.floating], prediction: npt.NDArray[np.floating]) -> Floats:
    """Return r across spots for each gene, G; both are S x G. A constant column explains nothing and has r = 0."""
    even = np.full((1, len(truth)), 1.0 / len(truth))
    return _weighted_pearson(truth, prediction, even)[0]


def pearson_interval(truth: npt.NDArray[np.floating], predictions: npt.NDArray[np.floating], resamples: Resamples) -> Interval:
    """Return the mean over genes and seeds of r; `truth` is S x G, `predictions` K x S x G."""
    value = float(np.mean([pearson_per_gene(truth, one) for one in predictions]))
    per_seed = [_weighted_pearson(truth, one, resamples.spots).mean(axis=1) for one in predictions]
    weights = resamples.seeds if len(per_seed) > 1 else np.ones((1, 1))
    draws = (np.stack(per_seed, axis=1) * weights).sum(axis=1)
    return Estimate(value, draws, resamples.stretch).interval(-1.0, 1.0)


def correlation(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], resamples: Resamples) -> Estimate:
    """Return r of two values per spot, each S."""
    value = float(pearson_per_gene(x[:, None], y[:, None])[0])
    return Estimate(value, _weighted_pearson(x[:, None], y[:, None], resamples.spots)[:, 0], resamples.stretch)


def correlations(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], resamples: Resamples) -> tuple[Floats, Floats]:
    """Return r of each column of `x` with that of `y`, each S x G or S x 1: on all spots, G, and in each draw, R x G."""
    return pearson_per_gene(x, y), _weighted_pearson(x, y, resamples.spots)


def concordance(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], resamples: Resamples) -> Estimate:
    """Return Lin's concordance (1989) of two values per spot, each S: r, lowered where means or spreads differ."""
    apart = x.mean() - y.mean()
    x, y = x - x.mean(), y - y.mean()  # first: a difference of large squares would give equal values a spread

    def weighted(weights: Floats) -> Floats:
        mean_x, mean_y = weights @ x, weights @ y
        covariance = weights @ (x * y) - mean_x * mean_y
        spread = weights @ (x * x) - mean_x**2 + weights @ (y * y) - mean_y**2 + (mean_x - mean_y + apart) ** 2
        found: Floats = np.divide(2 * covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-18)
        return found

    value = float(weighted(np.full((1, len(x)), 1 / len(x)))[0])
    return Estimate(value, weighted(resamples.spots), resamples.stretch)


def verdict(primary: Comparison, as_long: Comparison, against_augmentation: Comparison, against_mean: Comparison) -> str:
    """Say in words what the declared comparison found, and whether it matters.

    Args:
        primary: real + synthetic against real only.
        as_long: the same arm against real only of equally many steps.
        against_augmentation: the same arm against real + augmentation.
        against_mean: the same arm against predicting the training mean.
    """
    change = primary.change
    opening = {
        "better": "Synthetic pairs help here",
        "worse": "Synthetic pairs hurt here",
        "unclear": "No evidence that synthetic pairs help here",
    }[finding(change, as_long.change)]
    sentences = [
        f"{opening}: {primary.arm} changes the error on held-out spots by {_percent(change.value)} "
        f"(95 % interval {_range(change)}) against {primary.against}.",
        {
            "better": "It beats classical augmentation {}.",
            "worse": "It does worse than classical augmentation {}.",
            "unclear": "There is no evidence that it does better than classical augmentation {}.",
        }[direction(against_augmentation.change)].format(_bracket(against_augmentation.change)),
    ]
    if shorter_does(change, as_long.change):
        sentences.insert(
            1,
            "That is against real spots that were trained for less; against those trained as long it is "
            f"{_percent(as_long.change.value)} ({_range(as_long.change)}).",
        )
    if direction(against_mean.change) != "better":
        sentences.append(
            "Read this with care: it is not shown to do better than predicting the training mean "
            f"{_bracket(against_mean.change)}."
        )
    return " ".join(sentences)


def finding(best: Interval, as_long: Interval | None) -> Direction:
    """Return what synthetic pairs do, from a change of the error against real spots alone.

    Real spots alone count with the length of training that suits them best on the held-out spots, synthetic pairs have one
    length. That can hide a gain and feign a harm, but not the other way round; so a harm has to be there at equal length too.

    Args:
        best: the change against real spots alone with the length that suits them best.
        as_long: the change against real spots alone, trained as long; None when it was not measured.
    """
    return "unclear" if shorter_does(best, as_long) else direction(best)


def shorter_does(best: Interval, as_long: Interval | None) -> bool:
    """Say whether real spots alone beat synthetic pairs because they were trained for less, and only so."""
    return as_long is not None and direction(best) == "worse" and direction(as_long) != "worse"


def direction(change: Interval) -> Direction:
    """Return `better` or `worse` when the whole interval of a change of error lies on that side of 0, else `unclear`."""
    if change.high < 0:
        return "better"
    return "worse" if change.low > 0 else "unclear"


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %"


def _range(change: Interval) -> str:
    return f"{_percent(change.low)} to {_percent(change.high)}"


def _bracket(change: Interval) -> str:
    return f"({_percent(change.value)}, {_range(change)})"


def _stretch(units: int) -> float:
    """Return Student's t over the normal quantile, and the share of variance that draws from few units miss."""
    from scipy.stats import norm, t

    return float(t.ppf(0.975, units - 1) / norm.ppf(0.975) * np.sqrt(units / (units - 1))) if units > 1 else 1.0


def _multiplicities(count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return how often each of `count` units comes in each draw, R x count."""
    return generator.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES)


def _seed_weights(seeds: int, generator: np.random.Generator) -> Floats:
    """Return R x K weights of the seeds.

    Draws from a handful of seeds vary by (K - 1) / K too little; the deviations from the mean are stretched to make up for it,
    which is exact for means over seeds.
    """
    even = 1.0 / seeds
    if seeds == 1:
        return np.ones((RESAMPLES, 1))
    drawn = _multiplicities(seeds, generator) / seeds
    return even + (drawn - even) * np.sqrt(seeds / (seeds - 1))


def _resampled_mean(errors: Floats, resamples: Resamples) -> Floats:
    """Return R means of K x S errors."""
    per_seed = resamples.spots @ errors.T
    weights = resamples.seeds if len(errors) > 1 else np.ones((1, 1))
    return np.asarray((per_seed * weights).sum(axis=1))


def _weighted_pearson(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], weights: Floats) -> Floats:
    """Return r of each column of `x` with that of `y` (S x G) under each row of `weights` (R x S): R x G."""
    x = x - x.mean(axis=0, dtype=np.float64)  # centred first: a difference of large squares would lose small variances
    y = y - y.mean(axis=0, dtype=np.float64)
    mean_x, mean_y = weights @ x, weights @ y
    variance = (weights @ (x * x) - mean_x**2) * (weights @ (y * y) - mean_y**2)
    covariance = weights @ (x * y) - mean_x * mean_y
    r: Floats = np.divide(covariance, np.sqrt(np.maximum(variance, 0)), out=np.zeros_like(covariance), where=variance > 1e-18)
    return np.clip(r, -1.0, 1.0)
