"""Four numbers that describe the tissue of a patch: how much nucleus, how much of either stain, how much texture.

Haematoxylin and eosin are concentrations by colour deconvolution (Ruifrok and Johnston 2001), averaged over the patch; they
can be compared between patches in one release's colours, and have no unit beyond that. Texture is the standard deviation of
the grey levels in small windows, averaged: blur lowers it and noise raises it, so it also shows what is no tissue.
N patches, H x W pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import CHUNK, Pixels
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]

NUMBERS = ("nuclear fraction", "haematoxylin", "eosin", "texture")  # the columns, in this order
WINDOW = 5  # px, side of the window of texture: about a nucleus at the scales that backbones work at


def measure_morphology(patches: Pixels, threshold: float) -> Floats:
    """Return the numbers of each patch, N x 4 in the order of `NUMBERS`.

    Args:
        patches: N x H x W x 3.
        threshold: of the nuclear fraction, from `nuclear_threshold` on real patches of training spots.

    Raises:
        BadInput: the patches are not N x H x W x 3 of 8 bits.
    """
    if patches.ndim != 4 or patches.shape[3] != 3 or patches.dtype != np.uint8:
        raise BadInput(
            f"Patches of shape {patches.shape} and type {patches.dtype} are not N x H x W x 3 of 8 bits; pass those."
        )
    parts = [_numbers(patches[start : start + CHUNK], threshold) for start in range(0, len(patches), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, len(NUMBERS)))


def measure_samples(patches: Pixels, threshold: float) -> Floats:
    """Return the numbers of K patches for each of S spots, S x K x 4; `patches` is S x K x H x W x 3."""
    if patches.ndim != 5:
        raise BadInput(f"Generated patches of shape {patches.shape} are not S x K x H x W x 3; pass K patches for each spot.")
    spots, samples = patches.shape[:2]
    return measure_morphology(patches.reshape(-1, *patches.shape[2:]), threshold).reshape(spots, samples, len(NUMBERS))


def _numbers(patches: Pixels, threshold: float) -> Floats:
    from skimage.color import rgb2hed

    stains = rgb2hed(patches)[..., :2].astype(np.float32)
    nuclear = (stains[..., 0] > threshold).mean(axis=(1, 2))
    mean = stains.mean(axis=(1, 2), dtype=np.float64)
    return np.column_stack([nuclear, mean, _texture(patches)])


def _texture(patches: Pixels) -> Floats:
    """Return the mean over windows of the standard deviation within a window, in grey levels of 255, N."""
    from scipy.ndimage import uniform_filter

    grey = patches.mean(axis=3, dtype=np.float64)
    window = (0, WINDOW, WINDOW)
    variance = uniform_filter(grey**2, window) - uniform_filter(grey, window) ** 2
    texture: Floats = np.sqrt(np.maximum(variance, 0)).mean(axis=(1, 2))
    return texture
