"""Which spots are neighbours on the slide: a graph for Moran's I and for borders between clusters.

Each spot is joined to its nearest spots, but none farther than 1.5 times the distance between neighbours of the array: eight
on a square array, six on a hexagonal one. The cap keeps tissue apart across holes and tears, and makes the graph of a subset
of the spots (the held-out ones) a part of the whole slide's graph. S spots, E edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_shared.errors import BadInput

NEIGHBOURS = 8
LONGEST = 1.5  # times the median distance to the nearest spot; the diagonal of a square is 1.41 of its side
MIN_JOINED = 10  # spots with a neighbour


@dataclass(frozen=True)
class SpatialGraph:
    """An undirected graph of spots; every edge has weight 1."""

    spots: int
    edges: npt.NDArray[np.intp]  # E x 2, the smaller row first, no edge twice

    @property
    def degree(self) -> npt.NDArray[np.intp]:
        """Neighbours of each spot, S."""
        return np.bincount(self.edges.ravel(), minlength=self.spots).astype(np.intp)

    @property
    def matrix(self) -> scipy.sparse.csr_matrix:
        """Symmetric S x S, 1 for neighbours."""
        one, other = self.edges.T
        rows, columns = np.concatenate([one, other]), np.concatenate([other, one])
        return scipy.sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(self.spots, self.spots))


def neighbour_graph(centres: npt.NDArray[np.floating]) -> SpatialGraph:
    """Join the spots that are neighbours on the slide.

    Args:
        centres: S x 2, in any unit of length.

    Raises:
        BadInput: fewer than `MIN_JOINED` spots have a neighbour.
    """
    from scipy.spatial import cKDTree

    spots = len(centres)
    if spots < MIN_JOINED:
        raise BadInput(f"{spots} spots are too few for a graph of neighbours; give at least {MIN_JOINED}.")
    tree = cKDTree(np.asarray(centres, np.float64))
    distance, neighbour = tree.query(tree.data, k=min(NEIGHBOURS + 1, spots))
    near = (distance > 0) & (distance <= LONGEST * np.median(distance[:, 1]))
    pairs = np.column_stack([np.nonzero(near)[0], neighbour[near]])
    edges = np.unique(np.sort(pairs, axis=1), axis=0).astype(np.intp)
    joined = len(np.unique(edges))
    if joined < MIN_JOINED:
        raise BadInput(f"Only {joined} spots have a neighbour, and {MIN_JOINED} are needed; check the spots' positions.")
    return SpatialGraph(spots, edges)
