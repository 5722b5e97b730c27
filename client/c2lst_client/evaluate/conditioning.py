"""Does the synthetic tissue follow the expression? The nuclear fraction of patches generated for held-out spots, measured.

Three correlations with the nuclear fraction of the real patches of the same spots: that of the synthetic patches; the same
with conditions shuffled between spots, which is what no conditioning looks like; and that of a ridge regression on the same
genes, which is about what the genes know.

A patch depends on its condition and its noise alone, so shuffling conditions before generating and shuffling the patches
after it are the same control. The latter costs nothing and is done many times: a single shuffle of sixty spots can reach
r = 0.3 by chance.

A correlation does not ask whether the patches are tissue: an adapter on an untrained backbone, whose patches are noise, can
darken them with the expression and reach r = 0.9 (docs/results.md). The concordance, which demands the same fraction and not
only the same order, was 0.25 there and 0.85 on patches that look like tissue; both are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import Pixels, nuclear_fraction, nuclear_threshold
from c2lst_client.evaluate.results import ConditioningResult, Interval
from c2lst_client.evaluate.statistics import (
    RESAMPLES,
    concordance,
    correlation,
    pearson_per_gene,
    resample,
)
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import SamplingConfig

ALPHAS = np.logspace(-1, 5, 25)  # strengths of the ridge penalty, chosen by leave-one-out on the training spots

Expression = npt.NDArray[np.floating]


class Tissue(NamedTuple):
    """Real spots: S patches, S x P x P x 3, and their expression, S x G z-scores."""

    patches: Pixels
    expression: Expression


def measure_conditioning(
    train: Tissue,
    held_out: Tissue,
    synthetic: Pixels,
    *,
    barcodes: Sequence[str],
    sampling: SamplingConfig,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> ConditioningResult:
    """Compare the nuclear fraction of real and of generated patches over the held-out spots.

    Args:
        train: the spots that threshold and ridge regression are fitted on.
        held_out: S spots.
        synthetic: S x K x P x P x 3, K patches generated from the expression of each held-out spot.
        barcodes: S names of the held-out spots.
        sampling: how the patches were generated.
        centres: S x 2 positions on the slide; with them intervals respect that neighbours are alike.
        seed: of shuffling and bootstrap.

    Raises:
        BadInput: the arrays do not describe the same spots, or there are fewer than three.
    """
    _check(train, held_out, synthetic, barcodes)
    threshold = nuclear_threshold(train.patches)
    real = nuclear_fraction(held_out.patches, threshold)
    generated = _mean_fraction(synthetic, threshold)
    known = ridge_prediction(train.expression, nuclear_fraction(train.patches, threshold), held_out.expression)
    draws = resample(len(real), centres=centres, seed=seed)
    return ConditioningResult(
        r=correlation(real, generated, draws).interval(-1, 1),
        concordance=concordance(real, generated, draws).interval(-1, 1),
        shuffled_r=_shuffled_correlation(real, generated, seed),
        ridge_r=correlation(real, known, draws).interval(-1, 1),
        guidance=sampling.guidance,
        sampler=sampling.sampler,
        steps=sampling.steps,
        samples_per_spot=synthetic.shape[1],
        barcodes=list(barcodes),
        real=real.tolist(),
        synthetic=generated.tolist(),
    )


def ridge_prediction(train_expression: Expression, train_value: Expression, expression: Expression) -> npt.NDArray[np.float64]:
    """Predict one value per spot from expression by ridge regression, fitted on the training spots alone."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=ALPHAS).fit(np.asarray(train_expression, np.float64), train_value)
    return np.asarray(model.predict(np.asarray(expression, np.float64)), np.float64)


def _mean_fraction(patches: Pixels, threshold: float) -> npt.NDArray[np.float64]:
    """Return the mean over the K patches of each spot, S."""
    spots, samples = patches.shape[:2]
    return nuclear_fraction(patches.reshape(-1, *patches.shape[2:]), threshold).reshape(spots, samples).mean(axis=1)


def _shuffled_correlation(real: npt.NDArray[np.float64], generated: npt.NDArray[np.float64], seed: int) -> Interval:
    """Return the mean r over many shuffles of the spots, and the range that holds 95 % of them."""
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.broadcast_to(generated, (RESAMPLES, len(generated))), axis=1)
    r = pearson_per_gene(np.broadcast_to(real[:, None], shuffled.T.shape), shuffled.T)
    low, high = np.percentile(r, [2.5, 97.5])
    return Interval(value=float(r.mean()), low=float(low), high=float(high))


def _check(train: Tissue, held_out: Tissue, synthetic: Pixels, barcodes: Sequence[str]) -> None:
    spots = len(held_out.patches)
    if not spots == len(held_out.expression) == len(synthetic) == len(barcodes):
        raise BadInput(
            f"There are {spots} held-out patches, {len(held_out.expression)} expression vectors, {len(synthetic)} spots with "
            f"generated patches and {len(barcodes)} names; generate patches for exactly these spots again."
        )
    if spots < 3 or len(train.patches) < 3:
        raise BadInput(
            f"{len(train.patches)} training and {spots} held-out spots are too few for a correlation; give at least 3."
        )
