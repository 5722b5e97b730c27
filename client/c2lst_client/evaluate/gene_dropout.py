"""What if a few genes were not measured? Patches generated with five random genes zeroed, against those with all genes.

Zeroed can mean two things, because conditions are z-scores. The panel's mean is z = 0: the gene says nothing, which is what
a missing gene is filled with, and the condition stays within what the adapter has seen. A raw count of zero is another z,
-mean / sd of the log-normalised training spots: for genes that every spot expresses, as those of a panel are, that lies far
outside what the adapter has seen (z = -9 for the median gene of a mouse olfactory bulb), and asks in addition how it takes a
failed probe that nobody noticed. Both are offered.

The same genes are missing on all spots of a repeat, as when a probe fails. The dropped patches must start from the same noise
as the full ones: then every difference comes from the genes. S spots, G genes, R repeats, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import Pixels, nuclear_fraction
from c2lst_client.evaluate.patch_morphology import measure_morphology
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import Estimate, Resamples, correlations, resample
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from c2lst_client.evaluate.embedding import Encoder

Floats = npt.NDArray[np.float64]

DROPPED = 5  # genes


class Dropout(NamedTuple):
    """The conditions of R repeats."""

    expression: npt.NDArray[np.float32]  # R x S x G, z-scores
    dropped: npt.NDArray[np.intp]  # R x genes: columns that were zeroed


class DropoutResult(Result):
    """What losing a few genes does to generated patches of held-out spots."""

    filled_with: str  # in words
    dropped: list[list[str]]  # names of the genes of each repeat
    r_full: Interval  # conditioning r: nuclear fraction of generated with that of real patches
    r_dropped: Interval  # mean over repeats
    change: Interval  # r_dropped - r_full, on the same spots and noise; near 0 is robust
    r_per_repeat: list[float]
    nuclear_shift: Interval  # mean absolute change of a patch's nuclear fraction, 0 to 1
    feature_shift: Interval  # mean distance that a patch moves, as a share of that between patches of different spots
    features: str  # in which space, in words


def raw_zero(mean: Sequence[float], sd: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return the z-scores, G, of genes with a count of zero; `mean` and `sd` are the panel's."""
    return (-np.asarray(mean, np.float64) / np.asarray(sd, np.float64)).astype(np.float32)


def dropout_conditions(
    expression: npt.NDArray[np.floating],
    seed: int,
    genes: int = DROPPED,
    repeats: int = 5,
    *,
    fill: npt.NDArray[np.floating] | None = None,
) -> Dropout:
    """Zero random genes, others in each repeat.

    Args:
        expression: S x G z-scores.
        seed: of the choice.
        genes: how many are zeroed at once.
        repeats: R.
        fill: G z-scores that stand for nothing: `raw_zero` of the panel; None is the panel's mean, z = 0.

    Raises:
        BadInput: the panel does not have more than `genes` genes, or `fill` is not one number per gene.
    """
    total = expression.shape[1]
    if not 0 < genes < total:
        raise BadInput(f"{genes} genes cannot be dropped from a panel of {total}; drop fewer.")
    nothing = np.zeros(total) if fill is None else np.asarray(fill)
    if nothing.shape != (total,):
        raise BadInput(f"The fill has shape {nothing.shape} and the panel {total} genes; give one z-score per gene.")
    generator = np.random.default_rng(seed)
    dropped = np.stack([np.sort(generator.choice(total, size=genes, replace=False)) for _ in range(repeats)])
    conditions = np.repeat(np.asarray(expression, np.float32)[None], repeats, axis=0)
    for repeat, columns in enumerate(dropped):
        conditions[repeat][:, columns] = nothing[columns]
    return Dropout(conditions, dropped)


def measure_dropout(
    real: Pixels,
    generated_full: Pixels,
    generated_dropped: Iterable[Pixels],
    dropped: npt.NDArray[np.intp],
    genes: Sequence[str],
    *,
    threshold: float,
    filled_with: str = "the panel's mean",
    centres: npt.NDArray[np.floating] | None = None,
    encode: Encoder | None = None,
    seed: int = 0,
) -> DropoutResult:
    """Measure how far generated patches change when genes are missing.

    Args:
        real: S x P x P x 3, of held-out spots.
        generated_full: S x P x P x 3, one for each spot, from all genes.
        generated_dropped: R times S x P x P x 3, from the conditions of each repeat and the same noise as `generated_full`;
            an array, or a generator where memory is short.
        dropped: R x genes, of `Dropout`.
        genes: G names.
        threshold: from `nuclear_threshold` on real patches of training spots.
        filled_with: what a dropped gene was set to, in words.
        centres: S x 2 positions on the slide; with them intervals respect that neighbours are alike.
        encode: turns patches into features; None uses the morphological numbers, each over its spread in real patches.
        seed: of bootstrap and of the pairs of different spots.

    Raises:
        BadInput: the arrays do not describe the same spots and repeats, or there are fewer than three spots.
    """
    if len(real) != len(generated_full) or len(real) < 3:
        raise BadInput(f"{len(real)} real and {len(generated_full)} generated patches; pass the same spots, at least 3.")
    describe = _describer(real, threshold, encode)
    of_real = nuclear_fraction(real, threshold)
    full, full_features = nuclear_fraction(generated_full, threshold), describe(generated_full)
    changed, moved = [], []
    for patches in generated_dropped:
        if patches.shape != generated_full.shape:
            raise BadInput(f"A repeat has patches of shape {patches.shape}, not {generated_full.shape}; generate it again.")
        changed.append(nuclear_fraction(patches, threshold))
        moved.append(np.linalg.norm(describe(patches) - full_features, axis=1))
    if len(changed) != len(dropped) or not changed:
        raise BadInput(f"There are patches of {len(changed)} repeats and genes of {len(dropped)}; pass all repeats.")
    draws = resample(len(real), len(changed), centres=centres, seed=seed)
    without = np.stack(changed)  # [R, S]
    r_full, r_dropped, per_repeat = _correlations(of_real, full, without, draws)
    apart = _distance_between_spots(full_features, seed)
    shift, shift_draws = _mean(np.stack(moved), draws)
    apart_value, apart_draws = _mean(apart[None], draws)
    share = Estimate(shift / max(apart_value, 1e-12), shift_draws / np.maximum(apart_draws, 1e-12), draws.stretch)
    return DropoutResult(
        filled_with=filled_with,
        dropped=[[genes[column] for column in columns] for columns in dropped],
        r_full=r_full.interval(-1.0, 1.0),
        r_dropped=r_dropped.interval(-1.0, 1.0),
        change=r_dropped.minus(r_full).interval(-2.0, 2.0),
        r_per_repeat=per_repeat.tolist(),
        nuclear_shift=Estimate(*_mean(np.abs(without - full), draws), draws.stretch).interval(0.0, 1.0),
        feature_shift=share.interval(0.0),
        features="morphological numbers" if encode is None else "features of an image network",
    )


def _describer(real: Pixels, threshold: float, encode: Encoder | None) -> Callable[[Pixels], npt.NDArray[np.floating]]:
    """Return what turns N patches into N x D features."""
    if encode is not None:
        return encode
    spread = np.maximum(measure_morphology(real, threshold).std(axis=0), 1e-9)
    return lambda patches: measure_morphology(patches, threshold) / spread


def _correlations(real: Floats, full: Floats, without: Floats, draws: Resamples) -> tuple[Estimate, Estimate, Floats]:
    """Return r with all genes, its mean over repeats without some, and that of each repeat."""
    values, sampled = correlations(without.T, real[:, None], draws)  # [R], [draws, R]
    weights = draws.seeds if len(without) > 1 else np.ones((1, 1))
    mean = Estimate(float(values.mean()), (sampled * weights).sum(axis=1), draws.stretch)
    value, of_full = correlations(full[:, None], real[:, None], draws)
    return Estimate(float(value[0]), of_full[:, 0], draws.stretch), mean, values


def _mean(values: Floats, draws: Resamples) -> tuple[float, Floats]:
    """Return the mean of R x S values and its draws over spots and repeats."""
    weights = draws.seeds if len(values) > 1 else np.ones((1, 1))
    return float(values.mean()), np.asarray(((draws.spots @ values.T) * weights).sum(axis=1))


def _distance_between_spots(features: npt.NDArray[np.floating], seed: int) -> Floats:
    """Return the distance of each spot's patch to that of a random other spot, S."""
    count = len(features)
    step = np.random.default_rng(seed).integers(1, count, size=count)  # 1 to S - 1: never itself
    other = (np.arange(count) + step) % count
    return np.asarray(np.linalg.norm(features - features[other], axis=1), np.float64)
