"""How much of a patch is nucleus: the share of its pixels with more haematoxylin than a fixed threshold.

The threshold is found once, on the real patches of the training spots, and then used for real and synthetic patches alike: a
threshold per patch or per set would hide the very differences that are to be measured. At 2.75 um/px a nucleus of the mouse
is about three pixels wide, too few to count nuclei one by one, and enough for their area.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

CHUNK = 256  # patches at a time: colour deconvolution works in float64, 24 times the size of the pixels


def nuclear_threshold(patches: Pixels) -> float:
    """Return Otsu's threshold of the haematoxylin of real patches, N x H x W x 3, between nuclei and the rest."""
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(np.concatenate([_haematoxylin(part) for part in _chunks(patches)])))


def nuclear_fraction(patches: Pixels, threshold: float) -> npt.NDArray[np.float64]:
    """Return the share of each patch's pixels that have more haematoxylin than `threshold`.

    Args:
        patches: N x H x W x 3.
        threshold: from `nuclear_threshold`, the same for all patches that are compared.

    Returns:
        N shares, 0 to 1.
    """
    shares = [(_haematoxylin(part) > threshold).mean(axis=(1, 2)) for part in _chunks(patches)]
    return np.concatenate(shares) if shares else np.empty(0)


def _haematoxylin(patches: Pixels) -> npt.NDArray[np.float32]:
    """Return the concentration of haematoxylin, N x H x W, by colour deconvolution (Ruifrok and Johnston 2001)."""
    from skimage.color import rgb2hed

    concentration: npt.NDArray[np.float32] = rgb2hed(patches)[..., 0].astype(np.float32)
    return concentration


def _chunks(patches: Pixels) -> list[Pixels]:
    return [patches[start : start + CHUNK] for start in range(0, len(patches), CHUNK)]
