"""Density and coverage (Naeem et al. 2020, section 3): are generated patches where real ones are, and is everywhere reached?

Each real patch has a ball that just reaches its k-th nearest real patch. Density is the number of balls that a generated patch
lies in, over k: about 1 for real tissue, above 1 where generated patches crowd in the middle, 0 where they lie elsewhere.
Coverage is the share of real patches with a generated one in their ball: near 1 for real tissue, low where kinds of tissue are
never generated. Both replace precision and recall, which a single outlier can spoil. They depend on k and on the sizes of the
sets. N, M = patches, D = features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NEIGHBOURS = 5  # k, as in the paper's experiments


def distances(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
    """Return the Euclidean distance of each row of `x` (N x D) to each row of `y` (M x D), N x M."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(x, y))


def ball_counts(among_real: Floats, to_generated: Floats, k: int = NEIGHBOURS) -> tuple[Floats, Floats]:
    """Return density per generated patch, M, and coverage per real patch, N (0 or 1); the measures are their means.

    Args:
        among_real: N x N distances between the real patches.
        to_generated: N x M distances from the real to the generated ones.
        k: neighbours that a ball reaches; fewer than N.
    """
    radius = np.partition(among_real, k, axis=1)[:, k]  # column 0 is the patch itself
    inside = to_generated <= radius[:, None]
    return np.asarray(inside.sum(axis=0) / k, np.float64), np.asarray(inside.any(axis=1), np.float64)
