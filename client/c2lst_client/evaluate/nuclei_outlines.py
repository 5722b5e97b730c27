"""Single nuclei of a patch, without a trained network: colour deconvolution, one threshold, watershed.

Classical and blunt: crowded nuclei are split by their shape alone, pale ones are missed, dark debris is taken for nuclei. Real
and generated patches go through the same steps with the same threshold, so their difference is meant, not the count itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import Pixels

NUCLEUS_UM = 7.0  # across, typical of nuclei in a section
MIN_ACROSS_PX = 4.0  # smaller ones run into each other and cannot be told apart (nuclei.py)
SMALLEST_UM2 = 12.0  # 4 um across: below are specks and the caps of nuclei
SMOOTHING_UM = 0.6  # SD of the Gaussian that takes away noise and chromatin texture

Labels = npt.NDArray[np.int32]


def countable(um_per_px: float) -> bool:
    """Whether nuclei are large enough in px to be told apart."""
    return NUCLEUS_UM / um_per_px >= MIN_ACROSS_PX


def outline_nuclei(patch: Pixels, threshold: float, um_per_px: float) -> Labels:
    """Return which nucleus each pixel belongs to, P x P; 0 is none.

    Args:
        patch: P x P x 3.
        threshold: of haematoxylin, from `nuclear_threshold`.
        um_per_px: of the patch.
    """
    from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter
    from skimage.color import rgb2hed
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    haematoxylin = gaussian_filter(rgb2hed(patch)[..., 0], SMOOTHING_UM / um_per_px)
    mask = binary_fill_holes(haematoxylin > threshold)
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    depth = gaussian_filter(distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1], 0.1 * NUCLEUS_UM / um_per_px)
    apart = max(1, round(0.4 * NUCLEUS_UM / um_per_px))  # two centres nearer than this are one nucleus
    peaks = peak_local_max(depth, min_distance=apart, labels=mask, exclude_border=False)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-depth, markers, mask=mask)
    area = np.bincount(labels.ravel())
    small = area * um_per_px**2 < SMALLEST_UM2
    small[0] = False
    return np.where(small[labels], 0, labels).astype(np.int32)
