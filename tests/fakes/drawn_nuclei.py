"""Made-up H&E patches with nuclei of known number, area and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.draw import ellipse

STROMA, NUCLEUS, GLASS = (232, 170, 205), (78, 58, 140), (252, 251, 252)
OPTICS = 0.8  # px, SD of the blur: real edges are no steps


def drawn_nuclei(
    counts: Sequence[int] | npt.NDArray[np.integer],
    *,
    px: int = 64,
    radii: tuple[float, float] = (4.0, 4.0),
    glass: float = 0.0,
    seed: int = 0,
) -> npt.NDArray[np.uint8]:
    """One patch for each count: so many ellipses of half axes `radii` px, apart from each other and from the edge.

    `glass` is the share of the patch, on its right, that is empty; nuclei lie left of it.
    """
    rng = np.random.default_rng(seed)
    patches = np.empty((len(counts), px, px, 3), np.float64)
    patches[:] = STROMA
    edge = round(px * (1 - glass))
    patches[:, :, edge:] = GLASS
    reach = max(radii) + 2
    places = np.stack(np.meshgrid(np.arange(reach, px - reach, 2 * reach), np.arange(reach, edge - reach, 2 * reach)), -1)
    places = places.reshape(-1, 2)
    for patch, count in zip(patches, counts, strict=True):
        for y, x in rng.permutation(places)[:count]:
            patch[ellipse(y, x, *radii)] = NUCLEUS
    patches = gaussian_filter(patches, (0, OPTICS, OPTICS, 0))
    return np.clip(patches + rng.normal(0, 3, patches.shape), 0, 255).astype(np.uint8)


def how_many(px: int = 64, radius: float = 4.0) -> int:
    """How many round nuclei have room in a patch."""
    return len(np.arange(radius + 2, px - radius - 2, 2 * (radius + 2))) ** 2
