"""The Wasserstein distance between two samples of one number: how far, in its unit, one has to be moved to become the other.

In one dimension it is the area between the two cumulative distribution functions (Ramdas et al. 2017, section 2). Samples of
one kind are at a distance above 0, which is why it is compared at equal sizes (references.py). N, M = values; R = resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.statistics import Estimate, Resamples

Floats = npt.NDArray[np.float64]


def wasserstein(x: Floats, y: Floats) -> float:
    """Return the distance between two samples, N and M values."""
    return float(_weighted(x, y, np.full((1, len(x)), 1 / len(x)), np.full((1, len(y)), 1 / len(y)))[0])


def wasserstein_estimate(x: Floats, y: Floats, of_x: Resamples, of_y: Resamples) -> Estimate:
    """Measure the distance, with the scatter of its resamples put around it.

    Args:
        x: N.
        y: M.
        of_x: draws of the N values.
        of_y: draws of the M others; the same where value i of both belongs to one spot.
    """
    return Estimate(wasserstein(x, y), _weighted(x, y, of_x.spots, of_y.spots), of_x.stretch).recentred()


def _weighted(x: Floats, y: Floats, v: Floats, w: Floats) -> Floats:
    """Return the distance under each row of weights, R x N and R x M."""
    both = np.concatenate([x, y])
    order = np.argsort(both, kind="stable")
    steps = np.concatenate([v, -w], axis=1)[:, order]
    between = np.abs(np.cumsum(steps, axis=1)[:, :-1])
    return np.asarray(between @ np.diff(both[order]))
