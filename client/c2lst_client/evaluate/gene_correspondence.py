"""Do the genes that go with dense nuclei in real tissue go with dense nuclei in generated tissue?

For every gene of the panel: r of its expression with the nuclear fraction of the real patches, and with that of the patches
generated for the same spots. The points of all genes would lie on the diagonal if generated tissue were as real.

A patch is compared with a patch: r is found for each of the K generated patches of the spots and averaged, since the mean of
several patches has less noise than the one real patch, and a higher r for that alone.

Genes are expressed together, so that G points are far fewer than G facts: by chance alone the two lists can correlate
strongly, with either sign. Hence spots are drawn again and not genes, and patches shuffled between spots give the range that
chance covers. S spots, G genes, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.agreement import agreement, concordance_of_rows, range_of
from c2lst_client.evaluate.nuclei import Pixels, nuclear_fraction
from c2lst_client.evaluate.patch_morphology import measure_samples
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import RESAMPLES, Estimate, correlations, resample
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]


class GeneCorrespondence(Result):
    """Correlation of every gene with the nuclear fraction, in real and in generated patches of held-out spots."""

    genes: list[str]
    real: list[Interval]  # r, -1 to 1, in the order of `genes`
    generated: list[Interval]
    concordance: Interval  # of the two lists; 1 is the diagonal
    shuffled: Interval  # the same with generated patches given to random spots: mean and the range of 95 %
    spots: int
    samples_per_spot: int


def measure_gene_correspondence(
    real: Pixels,
    generated: Pixels,
    expression: npt.NDArray[np.floating],
    genes: Sequence[str],
    *,
    threshold: float,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> GeneCorrespondence:
    """Compare gene by gene how the nuclear fraction goes with expression.

    Args:
        real: S x P x P x 3, of held-out spots.
        generated: S x K x P x P x 3, from the expression of these spots.
        expression: S x G z-scores, measured.
        genes: G names.
        threshold: from `nuclear_threshold` on real patches of training spots.
        centres: S x 2 positions on the slide; with them intervals respect that neighbours are alike.
        seed: of bootstrap and shuffling.

    Raises:
        BadInput: the arrays do not describe the same spots and genes, or there are fewer than three spots.
    """
    if not len(real) == len(generated) == len(expression) or expression.shape[1] != len(genes):
        raise BadInput(
            f"{len(real)} real patches, {len(generated)} spots with generated ones, expression of shape {expression.shape} and "
            f"{len(genes)} genes do not belong together; pass the same spots and genes for all."
        )
    if len(real) < 3:
        raise BadInput(f"{len(real)} held-out spots are too few for a correlation; give at least 3.")
    of_real = nuclear_fraction(real, threshold)
    of_generated = measure_samples(generated, threshold)[..., 0]  # [S, K]
    draws = resample(len(real), centres=centres, seed=seed)
    x, x_draws = correlations(expression, of_real[:, None], draws)
    per_sample = [correlations(expression, of_generated[:, [k]], draws) for k in range(of_generated.shape[1])]
    y, y_draws = (np.mean([one[part] for one in per_sample], axis=0) for part in (0, 1))
    return GeneCorrespondence(
        genes=list(genes),
        real=_intervals(x, x_draws, draws.stretch),
        generated=_intervals(y, y_draws, draws.stretch),
        concordance=agreement(x, y, x_draws, y_draws, draws.stretch),
        shuffled=range_of(_shuffled(x, of_generated, expression, seed)),
        spots=len(real),
        samples_per_spot=of_generated.shape[1],
    )


def _intervals(values: Floats, draws: Floats, stretch: float) -> list[Interval]:
    return [Estimate(float(value), mine, stretch).interval(-1.0, 1.0) for value, mine in zip(values, draws.T, strict=True)]


def _shuffled(real: Floats, generated: Floats, expression: npt.NDArray[np.floating], seed: int) -> Floats:
    """Return R concordances with the K patches of each spot given to another spot.

    In standard scores r is a mean of products, so the mean over K of r is r with the mean of the scores.
    """
    scores = _standard(generated).mean(axis=1)
    moved = np.random.default_rng(seed).permuted(np.broadcast_to(scores, (RESAMPLES, len(scores))), axis=1)
    r = moved @ _standard(expression) / len(scores)
    return concordance_of_rows(np.broadcast_to(real, r.shape), r)


def _standard(values: npt.NDArray[np.floating]) -> Floats:
    """Return each column with mean 0 and variance 1; a constant one is 0."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    sd = centred.std(axis=0)
    found: Floats = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-9)
    return found
