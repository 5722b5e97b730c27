"""How far a set of generated patches is from real ones: the kernel distance (KID, Binkowski et al. 2018, section 4).

It is the squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 over features: 0 for two sets of one kind, and
unbiased for sets as small as a site's, where a Frechet distance is not. N, M patches; D features; R resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.embedding import Features
from c2lst_client.evaluate.statistics import Estimate, Resamples

Floats = npt.NDArray[np.float64]


def kernel_distance(
    real: Features, generated: Features, of_real: Resamples, of_generated: Resamples, *, paired: bool = False
) -> Estimate:
    """Measure the distance between two sets.

    Args:
        real: N x D.
        generated: M x D.
        of_real: draws of the N real patches.
        of_generated: draws of the M generated ones; the same where row i of both sets is one spot.
        paired: leave the real and the generated patch of one spot out, as Gretton et al. (2012, equation 4) do: they are more
            alike than two patches of two sets of one kind, and would push the distance of a good generator below 0. Then
            both draws are the same.
    """
    from sklearn.metrics.pairwise import polynomial_kernel

    def kernel(a: Features, b: Features) -> Floats:
        return np.asarray(polynomial_kernel(a.astype(np.float64), b.astype(np.float64), degree=3, coef0=1.0))

    among_real, among_generated, between = kernel(real, real), kernel(generated, generated), kernel(real, generated)

    def distance(v: Floats, w: Floats) -> Floats:
        across = _mean_of_pairs(between, v) if paired else ((v @ between) * w).sum(axis=1)
        return _mean_of_pairs(among_real, v) + _mean_of_pairs(among_generated, w) - 2 * across

    even = [np.full((1, len(features)), 1 / len(features)) for features in (real, generated)]
    return Estimate(float(distance(*even)[0]), distance(of_real.spots, of_generated.spots), of_real.stretch)


def _mean_of_pairs(kernel: Floats, weights: Floats) -> Floats:
    """Return the weighted mean of the kernel over pairs of different patches: a patch drawn twice is no pair with itself."""
    total = ((weights @ kernel) * weights).sum(axis=1) - (weights**2) @ np.diagonal(kernel)
    return np.asarray(total / (1 - (weights**2).sum(axis=1)))
