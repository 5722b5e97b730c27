"""Do predictions lie on the slide as expression does? Moran's I (1950) of measured, predicted and residual expression.

I is about the correlation of a gene with the mean of its neighbours: near 0 for no pattern, near 1 for smooth territories.
Three readings. Measured: which genes have a pattern at all; counting noise lowers it. Predicted: a predictor has no counting
noise, so a higher I than measured is expected and no merit. Residual (measured - predicted): what the predictor missed; a
pattern there is tissue that it did not see, and 0 is what a good one leaves.

Significance of each gene is one-sided, by the normal approximation under randomisation (Cliff and Ord 1981, section 1.4),
adjusted over genes for the false discovery rate (Benjamini and Hochberg 1995). The interval of a mean over genes draws parts of
the slide again, a spot's weight going to its own share of I (its local term, Anselin 1995). Spots without any neighbour are
left out. S spots, T of them with a neighbour, G genes, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.spatial_graph import SpatialGraph, neighbour_graph
from c2lst_client.evaluate.statistics import Estimate, Resamples, resample
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]

SIGNIFICANT = 0.05  # false discovery rate


class Autocorrelation(Result):
    """Moran's I of every gene, in panel order."""

    i: list[float]
    p: list[float]  # one-sided: more alike than chance makes neighbours
    q: list[float]  # adjusted over genes
    mean: Interval  # of I over genes
    significant: int  # genes with q below `SIGNIFICANT`


class SpatialArm(Result):
    """One predictor."""

    label: str
    predicted: Autocorrelation
    residual: Autocorrelation


class ResidualChange(Result):
    """Mean residual I of one arm minus another's, on the same spots; negative is less pattern missed."""

    arm: str
    against: str
    change: Interval


class SpatialResult(Result):
    """Spatial coherence over the held-out spots."""

    genes: list[str]
    spots: int  # with a neighbour
    isolated: int  # without, left out
    neighbours: float  # mean per spot
    expected: float  # Moran's I without any pattern, -1 / (T - 1)
    measured: Autocorrelation
    arms: list[SpatialArm]
    changes: list[ResidualChange]  # of every other arm against the first
    units: str  # what intervals draw


class _Graph(NamedTuple):
    """The graph among spots that have a neighbour."""

    graph: SpatialGraph
    rows: npt.NDArray[np.intp]  # T of the S spots
    draws: Resamples


def measure_spatial(
    measured: npt.NDArray[np.floating],
    predictions: Mapping[str, npt.NDArray[np.floating]],
    centres: npt.NDArray[np.floating],
    genes: Sequence[str],
    *,
    seed: int = 0,
) -> SpatialResult:
    """Measure the spatial pattern of expression, of its predictions and of what they miss.

    Args:
        measured: S x G z-scores of the held-out spots.
        predictions: name of each arm -> S x G; the first is what the others are compared with.
        centres: S x 2 positions on the slide.
        genes: G names.
        seed: of the bootstrap.

    Raises:
        BadInput: the arrays do not describe the same spots and genes, or too few spots have neighbours.
    """
    _check(measured, predictions, centres, genes)
    whole = neighbour_graph(centres)
    rows = np.flatnonzero(whole.degree)
    new_row = np.cumsum(whole.degree > 0) - 1
    graph = _Graph(SpatialGraph(len(rows), new_row[whole.edges]), rows, resample(len(rows), centres=centres[rows], seed=seed))
    arms, residual = [], {}
    for label, predicted in predictions.items():
        of_predicted, _ = _describe(predicted, graph)
        of_residual, residual[label] = _describe(np.asarray(measured, np.float64) - predicted, graph)
        arms.append(SpatialArm(label=label, predicted=of_predicted, residual=of_residual))
    first = next(iter(predictions), "")
    return SpatialResult(
        genes=list(genes),
        spots=len(rows),
        isolated=len(centres) - len(rows),
        neighbours=float(graph.graph.degree.mean()),
        expected=-1 / (len(rows) - 1),
        measured=_describe(measured, graph)[0],
        arms=arms,
        changes=[
            ResidualChange(arm=label, against=first, change=mine.minus(residual[first]).interval())
            for label, mine in residual.items()
            if label != first
        ],
        units=graph.draws.units,
    )


def morans_i(values: npt.NDArray[np.floating], graph: SpatialGraph) -> Floats:
    """Return Moran's I of each column of `values` (S x G), G; a constant column has no pattern and I = 0."""
    product, square = _local_terms(values, graph)
    return _ratio(product.sum(axis=0) / graph.degree.sum(), square.mean(axis=0))


def significance(values: npt.NDArray[np.floating], graph: SpatialGraph) -> Floats:
    """Return the one-sided p of Moran's I of each column of `values` (S x G), G, under randomisation; 1 for a constant one."""
    from scipy.stats import norm

    n, degree = graph.spots, graph.degree.astype(np.float64)
    total = degree.sum()
    s1, s2 = 2 * total, 4 * (degree**2).sum()  # of a symmetric matrix of zeros and ones
    centred = _centred(values)
    kurtosis = _ratio((centred**4).mean(axis=0), (centred**2).mean(axis=0) ** 2)
    expected = -1 / (n - 1)
    first = n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * total**2)
    second = kurtosis * ((n**2 - n) * s1 - 2 * n * s2 + 6 * total**2)
    variance = (first - second) / ((n - 1) * (n - 2) * (n - 3) * total**2) - expected**2
    z = (morans_i(values, graph) - expected) / np.sqrt(np.maximum(variance, 1e-18))
    return np.where(kurtosis > 0, norm.sf(z), 1.0)


def adjust(p: npt.NDArray[np.floating]) -> Floats:
    """Return p values adjusted for the false discovery rate, after Benjamini and Hochberg."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p), np.float64)


def _describe(values: npt.NDArray[np.floating], graph: _Graph) -> tuple[Autocorrelation, Estimate]:
    mine = np.asarray(values, np.float64)[graph.rows]
    i, p = morans_i(mine, graph.graph), significance(mine, graph.graph)
    q = adjust(p)
    mean = _mean_over_genes(mine, i, graph)
    lists = {name: [float(value) for value in column] for name, column in (("i", i), ("p", p), ("q", q))}
    return Autocorrelation(**lists, mean=mean.interval(), significant=int((q < SIGNIFICANT).sum())), mean


def _mean_over_genes(values: Floats, i: Floats, graph: _Graph) -> Estimate:
    product, square = _local_terms(values, graph.graph)
    weights = graph.draws.spots
    degree = weights @ graph.graph.degree.astype(np.float64)
    drawn = _ratio((weights @ product) / degree[:, None], weights @ square)
    return Estimate(float(i.mean()), drawn.mean(axis=1), graph.draws.stretch)


def _local_terms(values: npt.NDArray[np.floating], graph: SpatialGraph) -> tuple[Floats, Floats]:
    """Return each spot's product with the sum of its neighbours, and its square, both T x G."""
    centred = _centred(values)
    return centred * (graph.matrix @ centred), centred**2


def _centred(values: npt.NDArray[np.floating]) -> Floats:
    """Return each column about its mean; one that varies by rounding alone becomes exactly 0."""
    centred = np.asarray(values - values.mean(axis=0, dtype=np.float64), np.float64)
    return np.where(centred.std(axis=0) > 1e-6, centred, 0.0)


def _ratio(above: Floats, below: Floats) -> Floats:
    found: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 1e-18)
    return found


def _check(
    measured: npt.NDArray[np.floating],
    predictions: Mapping[str, npt.NDArray[np.floating]],
    centres: npt.NDArray[np.floating],
    genes: Sequence[str],
) -> None:
    if measured.shape != (len(centres), len(genes)):
        raise BadInput(
            f"Expression of shape {measured.shape}, {len(centres)} centres and {len(genes)} genes do not belong together; pass "
            "the same spots and genes for all."
        )
    for label, predicted in predictions.items():
        if predicted.shape != measured.shape:
            raise BadInput(
                f"The predictions of {label!r} have shape {predicted.shape}, not {measured.shape}; run cotrain again."
            )
