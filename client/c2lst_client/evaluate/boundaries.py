"""Are borders between tissues as sharp in predicted expression as in measured expression?

A border edge joins neighbouring spots of two expression clusters. Expression is read along the axis between the two clusters'
means: over many genes counting noise nearly cancels there, while a plain difference of neighbours would be mostly noise, and
larger for measured than for predicted expression for that reason alone. On the axis the measured means of the clusters are one
unit apart.

Contrast: the mean step over border edges, predicted over measured. It is below 1 for two reasons, of which one is no blur: a
cautious predictor draws all values towards the mean. Sharpness divides that out, each step being taken as a share of the
distance between the clusters as this predictor sees them: 1 is as abrupt as measured, lower is blurred over the border. And
as a check that borders are borders: the size of the step at border edges over that at edges inside the clusters.

Clusters are to come from measured expression; their spots were put on their sides with the help of the same noise, so measured
steps are a little too large, the less the more genes there are. S spots, G genes, E edges, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.spatial_graph import neighbour_graph
from c2lst_client.evaluate.statistics import Estimate, Resamples, resample
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]

MIN_EDGES = 10  # across borders, and within clusters
MIN_SEPARATION = 0.02  # of the clusters' measured distance: a predictor below it tells them not apart


class BoundaryArm(Result):
    """One predictor at the borders."""

    label: str
    step: Interval  # mean predicted step over a border edge; the measured means of the clusters are 1 apart
    contrast: Interval  # predicted step / measured step
    sharpness: Interval | None  # contrast / how far apart it sees the clusters; None where it sees no difference
    stands_out: Interval | None  # step at border edges / at interior edges; None where it is constant inside clusters


class BoundaryResult(Result):
    """Sharpness of the borders between expression clusters, over the held-out spots."""

    border_edges: int
    interior_edges: int
    clusters: int
    measured_step: Interval
    measured_stands_out: Interval | None
    arms: list[BoundaryArm]
    units: str  # what intervals draw


class _Pair(NamedTuple):
    """Two clusters that touch, the axis between them, and their edges."""

    one: npt.NDArray[np.bool_]  # S
    other: npt.NDArray[np.bool_]
    axis: Floats  # G; expression times axis is 1 larger in the mean of `other` than in that of `one`
    border: npt.NDArray[np.intp]  # edges, first the spot of `one`, then that of `other`
    interior: npt.NDArray[np.intp]  # edges within either


class _Steps(NamedTuple):
    """What one expression matrix shows at the borders; the mean over border edges."""

    step: Estimate
    separation: Estimate  # of the clusters' means
    interior: Estimate  # size of the step at interior edges
    size: Estimate  # of the step at border edges


def measure_boundaries(
    measured: npt.NDArray[np.floating],
    predictions: Mapping[str, npt.NDArray[np.floating]],
    clusters: npt.ArrayLike,
    centres: npt.NDArray[np.floating],
    *,
    seed: int = 0,
) -> BoundaryResult:
    """Compare the steps of predicted and of measured expression at borders between clusters.

    Args:
        measured: S x G z-scores of the held-out spots.
        predictions: name of each arm -> S x G.
        clusters: S names or numbers, from measured expression.
        centres: S x 2 positions on the slide.
        seed: of the bootstrap.

    Raises:
        BadInput: the arrays do not describe the same spots, or there are too few edges across or within clusters.
    """
    names = np.asarray(clusters).astype(str)
    if not len(measured) == len(names) == len(centres) or any(one.shape != measured.shape for one in predictions.values()):
        raise BadInput(
            f"{len(measured)} spots, {len(names)} clusters, {len(centres)} centres and predictions of shapes "
            f"{[one.shape for one in predictions.values()]} do not belong together; pass the same spots and genes for all."
        )
    edges = neighbour_graph(centres).edges
    across = names[edges[:, 0]] != names[edges[:, 1]]
    counts = (int(across.sum()), int((~across).sum()))
    if min(counts) < MIN_EDGES:
        raise BadInput(
            f"{counts[0]} pairs of neighbours lie across a border and {counts[1]} within a cluster, and {MIN_EDGES} are needed "
            "of each; ask for more or fewer clusters."
        )
    pairs = _pairs(np.asarray(measured, np.float64), names, edges)
    draws = resample(len(names), centres=centres, seed=seed)
    truth = _steps(measured, pairs, draws)
    return BoundaryResult(
        border_edges=counts[0],
        interior_edges=counts[1],
        clusters=len(np.unique(names)),
        measured_step=truth.step.interval(),
        measured_stands_out=_stands_out(truth),
        arms=[_describe(label, _steps(predicted, pairs, draws), truth) for label, predicted in predictions.items()],
        units=draws.units,
    )


def _describe(label: str, steps: _Steps, truth: _Steps) -> BoundaryArm:
    contrast = _over(steps.step, truth.step)
    apart = _over(steps.separation, truth.separation)
    sharpness = _over(contrast, apart).interval() if apart.value >= MIN_SEPARATION else None
    return BoundaryArm(
        label=label,
        step=steps.step.interval(),
        contrast=contrast.interval(),
        sharpness=sharpness,
        stands_out=_stands_out(steps),
    )


def _stands_out(steps: _Steps) -> Interval | None:
    return _over(steps.size, steps.interior).interval(0.0) if steps.interior.value > 1e-6 else None


def _pairs(measured: Floats, names: npt.NDArray[np.str_], edges: npt.NDArray[np.intp]) -> list[_Pair]:
    """Return the pairs of clusters that touch."""
    ends = names[edges]
    forwards = np.where((ends[:, 0] <= ends[:, 1])[:, None], edges, edges[:, ::-1])  # the cluster first in order comes first
    ends = names[forwards]
    pairs = []
    for one, other in np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0):
        border = forwards[(ends == [one, other]).all(axis=1)]
        interior = forwards[(ends[:, 0] == ends[:, 1]) & np.isin(ends[:, 0], [one, other])]
        apart = measured[names == other].mean(axis=0) - measured[names == one].mean(axis=0)
        pairs.append(_Pair(names == one, names == other, apart / max(float(apart @ apart), 1e-12), border, interior))
    return pairs


def _steps(values: npt.NDArray[np.floating], pairs: list[_Pair], draws: Resamples) -> _Steps:
    """Measure one matrix; each pair of clusters counts by its border edges, in the draws by those that were drawn."""
    even = np.full((1, len(values)), 1 / len(values))
    parts = [np.concatenate([_sums(values, pair, weights) for weights in (even, draws.spots)], axis=1) for pair in pairs]
    edges, step, size, separation, interior_edges, interior = np.sum(parts, axis=0)

    def estimate(above: Floats, below: Floats) -> Estimate:
        ratio = np.divide(above, below, out=np.zeros_like(above), where=below > 1e-12)
        return Estimate(float(ratio[0]), ratio[1:], draws.stretch)

    return _Steps(estimate(step, edges), estimate(separation, edges), estimate(interior, interior_edges), estimate(size, edges))


def _sums(values: npt.NDArray[np.floating], pair: _Pair, weights: Floats) -> Floats:
    """Return weighted sums over the edges of a pair under each row of `weights`, 6 x R.

    An edge weighs as much as its two spots on average. The separation of the clusters is weighted by the border edges; where
    a draw lacks one of the clusters, the separation is that of all spots.
    """
    along = np.asarray(values, np.float64) @ pair.axis  # [S]
    step, inside = (along[edges[:, 1]] - along[edges[:, 0]] for edges in (pair.border, pair.interior))

    def over_edges(edges: npt.NDArray[np.intp], of_edge: Floats) -> Floats:
        of_spot = np.bincount(edges.ravel(), weights=np.repeat(of_edge / 2, 2), minlength=len(along))
        return weights @ of_spot

    count = over_edges(pair.border, np.ones_like(step))
    whole = along[pair.other].mean() - along[pair.one].mean()
    mass = [weights[:, side].sum(axis=1) for side in (pair.one, pair.other)]
    present = (mass[0] > 1e-12) & (mass[1] > 1e-12)
    means = [
        (weights[:, side] @ along[side]) / np.where(present, total, 1.0)
        for side, total in zip((pair.one, pair.other), mass, strict=True)
    ]
    separation = np.where(present, means[1] - means[0], whole)
    return np.stack(
        [
            count,
            over_edges(pair.border, step),
            over_edges(pair.border, np.abs(step)),
            count * separation,
            over_edges(pair.interior, np.ones_like(inside)),
            over_edges(pair.interior, np.abs(inside)),
        ]
    )


def _over(above: Estimate, below: Estimate) -> Estimate:
    draws = np.divide(above.draws, below.draws, out=np.zeros_like(above.draws), where=np.abs(below.draws) > 1e-12)
    return Estimate(above.value / below.value if abs(below.value) > 1e-12 else 0.0, draws, above.stretch)
