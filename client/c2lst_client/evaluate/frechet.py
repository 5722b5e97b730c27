"""The Frechet distance between two sets of features (FID; Heusel et al. 2017, equation 6), as of two Gaussians.

It is biased upwards, and the more so the smaller the sets (Binkowski et al. 2018, section 3; Chong and Forsyth 2020): a
covariance of D features cannot be known from fewer than D patches, and two sets of one kind are then far apart. With a site's
spots it is a number to compare with other distances at the same size, never one to compare with published ones.

N, M = patches; D = features; R = resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.statistics import Estimate, Resamples

Floats = npt.NDArray[np.float64]

DRAWS = 200  # of the resamples: each takes an eigendecomposition, and they give the width of an interval, not its third digit


def frechet_distance(real: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of features, N x D and M x D."""
    return _weighted(np.asarray(real, np.float64), np.asarray(other, np.float64), *(_even(len(x)) for x in (real, other)))


def frechet_estimate(
    real: npt.NDArray[np.floating], other: npt.NDArray[np.floating], of_real: Resamples, of_other: Resamples
) -> Estimate:
    """Measure the distance, with the scatter of its resamples put around it.

    Args:
        real: N x D.
        other: M x D.
        of_real: draws of the N real patches.
        of_other: draws of the M others; the same where row i of both sets is one spot.
    """
    real, other = _in_their_span(np.asarray(real, np.float64), np.asarray(other, np.float64))
    draws = [_weighted(real, other, v, w) for v, w in zip(of_real.spots[:DRAWS], of_other.spots[:DRAWS], strict=True)]
    value = _weighted(real, other, _even(len(real)), _even(len(other)))
    return Estimate(value, np.array(draws), of_real.stretch).recentred()


def _weighted(x: Floats, y: Floats, v: Floats, w: Floats) -> float:
    (mean_x, x), (mean_y, y) = _centred(x, v), _centred(y, w)
    # With C1 = X^T X and C2 = Y^T Y, the eigenvalues of C1 C2 are those of (Y X^T)(X Y^T), small where patches are few.
    if min(len(x), len(y)) > x.shape[1]:
        x, y = (np.asarray(np.linalg.qr(z, mode="r")) for z in (x, y))
    between = x @ y.T if len(x) < len(y) else y @ x.T
    squares = np.linalg.eigvalsh(between @ between.T)
    cross = np.sqrt(np.maximum(squares, 0)).sum()
    return float(((mean_x - mean_y) ** 2).sum() + (x * x).sum() + (y * y).sum() - 2 * cross)


def _centred(x: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the weighted mean, and rows whose products with each other make the unbiased weighted covariance."""
    drawn = weights > 0
    x, weights = x[drawn], weights[drawn]
    mean = weights @ x
    rows = (x - mean) * np.sqrt(weights / (1 - (weights**2).sum()))[:, None]
    return mean, rows


def _in_their_span(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Turn both sets, so that they need no more axes than they have patches; distances stay what they are."""
    both = np.concatenate([x, y])
    if len(both) >= both.shape[1]:
        return x, y
    axes = np.linalg.qr((both - both.mean(axis=0)).T)[0]
    turned = (both - both.mean(axis=0)) @ axes
    return turned[: len(x)], turned[len(x) :]


def _even(count: int) -> Floats:
    return np.full(count, 1 / count)
