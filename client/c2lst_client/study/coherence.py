"""The study's part on space: whether predictions leave a pattern on the slide, and whether borders of tissue stay sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.evaluate.boundaries import BoundaryResult, measure_boundaries
from c2lst_client.evaluate.results import Result
from c2lst_client.evaluate.spatial import SpatialResult, measure_spatial
from c2lst_client.study.design import AUGMENTED, REAL, best_arms
from c2lst_client.study.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAPS = 2  # genes shown on the slide


class CoherencePart(Result):
    """Spatial coherence of the arms' predictions, on held-out spots."""

    spatial: SpatialResult
    boundaries: BoundaryResult
    mapped: list[str]  # genes on the maps: those whose measured pattern is strongest


def measure_coherence(subject: Subject) -> tuple[CoherencePart, dict[str, Figure]]:
    """Measure and draw the part.

    Raises:
        BadInput: the held-out spots have too few neighbours among themselves.
    """
    from c2lst_client.study import figures_spatial as figures

    arms = [REAL, AUGMENTED, *best_arms(subject.workshop.design)]
    predictions = {arm: subject.predictions[arm] for arm in arms}
    measured, centres = subject.expression, subject.centres
    spatial = measure_spatial(measured, predictions, centres, subject.genes)
    boundaries = measure_boundaries(measured, predictions, subject.clusters, centres)
    strongest = np.argsort(spatial.measured.i)[::-1][:MAPS].tolist()
    drawn = {
        "morans": figures.morans_pairs(spatial),
        "boundaries": figures.boundary_chart(boundaries),
    }
    for place, gene in enumerate(strongest):
        drawn[f"map_{place + 1}"] = figures.gene_maps(
            subject.genes[gene],
            measured[:, gene],
            predictions[arms[-1]][:, gene],
            centres,
            subject.adapted.spots.um_per_px,
        )
    return CoherencePart(spatial=spatial, boundaries=boundaries, mapped=[subject.genes[gene] for gene in strongest]), drawn
