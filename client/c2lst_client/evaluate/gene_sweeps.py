"""What does one gene do to the tissue? A gene is moved step by step, with the same noise, and the nuclear fraction is read.

Two strips answer two questions. *Alone*: only this gene moves, which shows what the model took from this one input; real
tissue never does this, so far steps are conditions that the model has not seen. *Together*: the other genes follow as they do
over the real spots (their regression on this gene), which shows a walk through tissue that could exist.

A sweep starts from the spot nearest to the median expression and goes from the gene's 2nd to its 98th percentile. The slope of
the nuclear fraction is compared with the one that a ridge regression of real nuclear fraction on real expression predicts for
the same change of the condition. S spots, G genes, T steps, N noises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.conditioning import ALPHAS
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.patch_morphology import measure_samples
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import Estimate, correlation, resample
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]
Role = Literal["positive", "negative", "none"]
Strip = Literal["alone", "together"]

PERCENTILES = (2.0, 98.0)
PREDICTION_DRAWS = 300  # ridge regressions behind the interval of a predicted slope
MIN_NOISES = 3  # below that, an interval over noises says nothing


class SweepGene(NamedTuple):
    """A gene worth sweeping, and why."""

    gene: str
    role: Role  # how it goes with the nuclear fraction over the training spots
    r: Interval


class Sweep(NamedTuple):
    """The conditions of one gene's two strips."""

    gene: str
    z: Floats  # T: the gene's own z-score at each step
    alone: npt.NDArray[np.float32]  # T x G
    together: npt.NDArray[np.float32]  # T x G
    direction: Floats  # G: change of each gene per unit of this one, together; alone it is 1 for this gene and 0 for others
    start: int  # row of the spot that the sweep starts from


class SweepResult(Result):
    """One strip of one gene. Slopes are change of nuclear fraction (0 to 1) per standard deviation of the gene."""

    gene: str
    strip: Strip
    z: list[float]
    nuclear: list[Interval]  # fraction at each step, mean over noises
    slope: Interval  # over noises
    predicted: Interval  # by ridge regression on real training spots, over parts of the slide
    noises: int


def choose_sweep_genes(
    expression: npt.NDArray[np.floating],
    nuclear: npt.NDArray[np.floating],
    genes: Sequence[str],
    *,
    each: int = 1,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> list[SweepGene]:
    """Choose the genes that go most with the nuclear fraction, most against it, and one that does neither.

    Args:
        expression: S x G z-scores of the training spots.
        nuclear: S, nuclear fraction of their real patches.
        genes: G names.
        each: how many with and against.
        centres: S x 2 positions, for the intervals of r.
        seed: of the intervals.

    Raises:
        BadInput: the arrays do not belong together, or the panel has too few genes.
    """
    if len(expression) != len(nuclear) or expression.shape[1] != len(genes):
        raise BadInput(
            f"Expression of shape {expression.shape}, {len(nuclear)} nuclear fractions and {len(genes)} genes do not belong "
            "together; pass the same spots and genes for all."
        )
    if len(genes) < 2 * each + 1:
        raise BadInput(f"A panel of {len(genes)} genes is too small to choose {2 * each + 1} from; sweep fewer.")
    draws = resample(len(nuclear), centres=centres, seed=seed)
    r = [correlation(expression[:, gene], nuclear, draws) for gene in range(len(genes))]
    order = np.argsort([-one.value for one in r])
    with_nuclei: list[tuple[int, Role]] = [(int(gene), "positive") for gene in order[:each] if r[gene].value > 0]
    against: list[tuple[int, Role]] = [(int(gene), "negative") for gene in order[::-1][:each] if r[gene].value < 0]
    taken = {gene for gene, _ in with_nuclei + against}
    # A gene that does not vary has r = 0 for that reason alone.
    others = [gene for gene in range(len(genes)) if gene not in taken and expression[:, gene].std() > 1e-6]
    neither: list[tuple[int, Role]] = [(gene, "none") for gene in sorted(others, key=lambda gene: abs(r[gene].value))[:1]]
    return [SweepGene(genes[gene], role, r[gene].interval(-1.0, 1.0)) for gene, role in with_nuclei + against + neither]


def sweep_conditions(expression: npt.NDArray[np.floating], genes: Sequence[str], gene: str, steps: int = 7) -> Sweep:
    """Make the conditions of one gene's strips.

    Args:
        expression: S x G z-scores of the training spots.
        genes: G names.
        gene: the one that moves.
        steps: T, at least 2.

    Raises:
        BadInput: the gene is not in the panel or does not vary, or there are fewer than two steps.
    """
    if gene not in genes:
        raise BadInput(f"The gene {gene!r} is not in this site's panel; sweep a gene of panel.json.")
    column = list(genes).index(gene)
    values = np.asarray(expression, np.float64)
    low, high = np.percentile(values[:, column], PERCENTILES)
    if steps < 2 or high - low < 1e-6:
        raise BadInput(
            f"{gene} varies from {low:.2f} to {high:.2f} and {steps} steps were asked for; sweep a gene that varies."
        )
    start = int(np.argmin(np.linalg.norm(values - np.median(values, axis=0), axis=1)))
    z = np.linspace(low, high, steps)
    centred = values - values.mean(axis=0)
    direction = centred.T @ centred[:, column] / (centred[:, column] @ centred[:, column])
    alone = np.tile(values[start], (steps, 1))
    alone[:, column] = z
    together = values[start] + (z - values[start, column])[:, None] * direction
    return Sweep(gene, z, alone.astype(np.float32), together.astype(np.float32), direction, start)


def measure_sweep(
    patches: Pixels,
    sweep: Sweep,
    strip: Strip,
    *,
    genes: Sequence[str],
    train_expression: npt.NDArray[np.floating],
    train_nuclear: npt.NDArray[np.floating],
    threshold: float,
    train_centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> SweepResult:
    """Measure the nuclear fraction along one strip.

    Args:
        patches: N x T x P x P x 3; the T patches of a row start from the same noise.
        sweep: whose conditions the patches were generated from.
        strip: which of its two.
        genes: G names.
        train_expression: S x G z-scores of the training spots.
        train_nuclear: S, nuclear fraction of their real patches.
        threshold: from `nuclear_threshold` on those patches.
        train_centres: S x 2 positions, for the interval of the predicted slope.
        seed: of bootstrap.

    Raises:
        BadInput: there are fewer than `MIN_NOISES` noises, or another number of steps.
    """
    if patches.ndim != 5 or patches.shape[0] < MIN_NOISES or patches.shape[1] != len(sweep.z):
        raise BadInput(
            f"Patches of shape {patches.shape} are not {MIN_NOISES} or more noises x {len(sweep.z)} steps; generate the sweep "
            "again."
        )
    nuclear = measure_samples(patches, threshold)[..., 0]  # [N, T]
    draws = resample(len(nuclear), seed=seed)
    centred = sweep.z - sweep.z.mean()
    slopes = nuclear @ centred / (centred @ centred)  # [N], least squares along each strip
    change = sweep.direction if strip == "together" else np.eye(len(genes))[list(genes).index(sweep.gene)]

    def over_noises(values: Floats) -> Estimate:
        return Estimate(float(values.mean()), draws.spots @ values, draws.stretch)

    return SweepResult(
        gene=sweep.gene,
        strip=strip,
        z=sweep.z.tolist(),
        nuclear=[over_noises(step).interval(0.0, 1.0) for step in nuclear.T],
        slope=over_noises(slopes).interval(),
        predicted=predict_slope(train_expression, train_nuclear, change, centres=train_centres, seed=seed),
        noises=len(nuclear),
    )


def predict_slope(
    expression: npt.NDArray[np.floating],
    nuclear: npt.NDArray[np.floating],
    change: npt.NDArray[np.floating],
    *,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> Interval:
    """Return the slope of the nuclear fraction along `change` that ridge regression on real spots predicts.

    The penalty is chosen once, by leave-one-out on all spots; the interval is over regressions on parts of the slide. Along a
    gene alone the prediction is small by nature: the penalty shares what co-expressed genes know among them.

    Args:
        expression: S x G z-scores of the training spots.
        nuclear: S, nuclear fraction of their real patches.
        change: G, change of the condition per step of one.
        centres: S x 2 positions; with them parts of the slide are drawn.
        seed: of the draws.
    """
    from sklearn.linear_model import Ridge, RidgeCV

    values = np.asarray(expression, np.float64)
    model = RidgeCV(alphas=ALPHAS).fit(values, nuclear)
    draws = resample(len(values), centres=centres, seed=seed)
    again = Ridge(alpha=float(model.alpha_))
    slopes = []
    for weights in draws.spots[:PREDICTION_DRAWS]:
        drawn = weights > 0
        fitted = again.fit(values[drawn], nuclear[drawn], sample_weight=len(values) * weights[drawn])
        slopes.append(float(fitted.coef_ @ change))
    return Estimate(float(model.coef_ @ change), np.array(slopes), draws.stretch).interval()
