"""Made-up H&E patches whose density of dark blobs is known, and expression that follows it."""

import numpy as np
import numpy.typing as npt

PALE = np.array([222, 196, 224])
DARK = np.array([78, 58, 140])


def blob_patches(density: npt.ArrayLike, *, px: int = 16, seed: int) -> npt.NDArray[np.uint8]:
    """One patch for each density from 0 to 1: that share of a half of its 2 x 2 px cells is dark."""
    rng = np.random.default_rng(seed)
    share = 0.5 * np.asarray(density, dtype=float)[:, None, None]
    cells = rng.random((len(share), px // 2, px // 2)) < share
    dark = np.repeat(np.repeat(cells, 2, axis=1), 2, axis=2)[..., None]
    noise = rng.normal(0, 4, (*dark.shape[:3], 3))
    return np.clip(np.where(dark, DARK, PALE) + noise, 0, 255).astype(np.uint8)


def expression_of(density: npt.ArrayLike, *, genes: int = 6, noise: float = 0.3, seed: int) -> npt.NDArray[np.float32]:
    """z-scores that rise with the density for even genes and fall for odd ones, with noise."""
    slope = np.where(np.arange(genes) % 2, -1.0, 1.0) * 1.7 * 2
    centred = np.asarray(density, dtype=float)[:, None] - 0.5
    values = centred * slope + noise * np.random.default_rng(seed).normal(size=(len(centred), genes))
    return values.astype(np.float32)
