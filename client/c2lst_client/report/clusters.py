"""Groups of spots with similar expression: what a reader compares tissue by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from c2lst_client.report.inputs import ReportInputs, SpotTable

MOST_CLUSTERS = 5
SPOTS_PER_CLUSTER = 12  # fewer spots than this per cluster, and there are fewer clusters
COMPONENTS = 20
TOP_GENES = 6
SEED = 0


@dataclass(frozen=True)
class Cluster:
    """One group of spots."""

    letter: str
    members: npt.NDArray[np.intp]  # indices into the spots
    genes: list[str]  # highest mean z-score against the other spots, highest first


def find_clusters(inputs: ReportInputs) -> list[Cluster]:
    """Return the clusters given in `inputs`, or those of k-means on expression, the largest first."""
    spots = inputs.spots
    labels = inputs.clusters if inputs.clusters is not None else k_means(spots.expression)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups.sort(key=lambda members: (-len(members), members[0]))
    return [Cluster(chr(ord("A") + i), members, top_genes(spots, members)) for i, members in enumerate(groups)]


def k_means(expression: npt.NDArray[np.floating]) -> npt.NDArray[np.integer]:
    """Return a cluster number per spot: k-means on the first principal components of S x G z-scores.

    Every spot is scaled to unit length first: what counts is the pattern over genes, and a few spots with extreme counts
    would otherwise make a group of their own.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    count = max(1, min(MOST_CLUSTERS, len(expression) // SPOTS_PER_CLUSTER))
    patterns = expression / np.maximum(np.linalg.norm(expression, axis=1, keepdims=True), 1e-12)
    components = PCA(min(COMPONENTS, *patterns.shape), svd_solver="full").fit_transform(patterns)
    labels: npt.NDArray[np.integer] = KMeans(count, n_init=10, random_state=SEED).fit_predict(components)
    return labels


def top_genes(spots: SpotTable, members: npt.NDArray[np.intp]) -> list[str]:
    """Return the genes whose mean over `members` exceeds the mean over the other spots most."""
    inside = np.zeros(len(spots.barcodes), dtype=bool)
    inside[members] = True
    others = spots.expression[~inside].mean(axis=0) if not inside.all() else 0.0
    excess = spots.expression[inside].mean(axis=0) - others
    order = np.argsort(-excess)[:TOP_GENES]
    return [spots.genes[i] for i in order if excess[i] > 0]


def draw_examples(candidates: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """Draw up to `count` of `candidates` at random, always the same ones: examples are not picked for looks."""
    if len(candidates) <= count:
        return candidates
    return np.sort(np.random.default_rng(SEED).choice(candidates, size=count, replace=False))
