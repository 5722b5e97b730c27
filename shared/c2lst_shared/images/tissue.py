"""Where the tissue is, and whether an image is an H&E section at all.

Everything is measured as optical density against the slide's own background, so that a dim, gray or pinkish lamp
changes nothing. Images are uint8 RGB arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import STRIP_ROWS, Picture

Pixels = npt.NDArray[np.uint8]

MIN_BRIGHTNESS = 0.88  # of a glass pixel, of the brightest ones
MAX_TINT = 0.15  # (max - min) / max of a glass pixel: gray or slightly pink, never coloured
FLAT_WINDOW, MAX_TEXTURE = 5, 0.01  # glass varies by less than 1 % over a few pixels, the palest tissue by more than 1.5 %
MIN_GLASS = 0.005  # fraction of the pixels that must be glass before its colour is believed
CHECK_SIDE = 1024  # pixels along the longer side of the image that `check_h_and_e` looks at
BLACK, MAX_BLACK = 25, 0.3  # a pixel below this level is black; an H&E image has fewer of them than this fraction
MIN_SPREAD = 12  # gray levels between channels that the most coloured 1 % of the pixels reach
MIN_DENSE = 5e-4  # fraction of the image that must absorb light like tissue
MAX_BLUE_TO_GREEN = 0.95  # haematoxylin absorbs half as much blue as green, eosin less; gray dirt absorbs them alike
MAX_RED_TO_GREEN = 1.7  # haematoxylin absorbs about 1.3 times as much red as green, a blue sky twice as much
MIN_STAINED = 0.5  # fraction of what absorbs that must look like H, E or a mixture; noise and landscapes reach 0.4
SPECK = 64  # pixels of the low-resolution mask
DENSITY_BOUNDS = (0.06, 0.11)  # Otsu's threshold on optical density is kept within: with no background it splits tissue


def background_colour(rgb: Pixels) -> npt.NDArray[np.float64]:
    """Estimate what the slide's empty glass looks like: the white point of all optical densities.

    Glass is bright, nearly neutral and flat; the last is what tells it from pale tissue. In a field full of tissue there
    is none, and the white point is the brightness of the brightest pixels, without a tint.

    Args:
        rgb: height x width x 3, at low resolution.

    Returns:
        Red, green and blue between 1 and 255.
    """
    from scipy.ndimage import uniform_filter

    brightness, strongest = rgb.mean(axis=-1, dtype=np.float32), rgb.max(axis=-1).astype(np.float32)
    tint = (strongest - rgb.min(axis=-1)) / np.maximum(strongest, 1)
    mean = uniform_filter(brightness, FLAT_WINDOW)
    variance = np.maximum(uniform_filter(brightness**2, FLAT_WINDOW) - mean**2, 0)
    bright = brightness >= MIN_BRIGHTNESS * np.percentile(brightness, 99.5)
    glass = bright & (tint <= MAX_TINT) & (np.sqrt(variance) < MAX_TEXTURE * mean)
    if glass.mean() < MIN_GLASS:
        return np.full(3, max(float(np.percentile(strongest, 99.5)), 1.0))
    return np.maximum(np.median(rgb[glass], axis=0).astype(np.float64), 1.0)


def optical_density(rgb: Pixels, white: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return -log(rgb / white) per channel, not below zero; the shape of `rgb`."""
    levels = np.maximum(np.arange(256, dtype=np.float64), 1.0)
    tables = np.maximum(-np.log(levels[None] / white[:, None]), 0.0).astype(np.float32)
    return np.stack([tables[channel][rgb[..., channel]] for channel in range(3)], axis=-1)


def takes_stain(density: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Mark the pixels that absorb more green than blue, as haematoxylin, eosin and any mixture of the two do.

    Brown pigment, ink, metal, air bubbles and shadows do not.

    Args:
        density: optical densities, ... x 3.
    """
    return density[..., 2] < MAX_BLUE_TO_GREEN * density[..., 1]


def tissue_mask(rgb: Pixels, white: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.bool_]:
    """Mark tissue in a low-resolution image (about 3 to 20 micrometres per pixel).

    Args:
        rgb: height x width x 3.
        white: the slide's background colour; estimated from `rgb` when not given.

    Returns:
        height x width, true on tissue; specks and holes of fewer than `SPECK` pixels do not count.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    white = background_colour(rgb) if white is None else white
    per_channel = gaussian_filter(optical_density(rgb, white), sigma=(1.0, 1.0, 0.0))
    density = per_channel.mean(axis=-1)
    low, high = DENSITY_BOUNDS
    threshold = float(np.clip(threshold_otsu(density), low, high)) if np.ptp(density) > 0 else high
    mask = (density > threshold) & takes_stain(per_channel)
    return ~_without_specks(~_without_specks(mask))


def _without_specks(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return `mask` without its connected parts of fewer than `SPECK` pixels."""
    from scipy.ndimage import label

    parts, _ = label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0  # part 0 is what the mask leaves out
    kept: npt.NDArray[np.bool_] = (sizes >= SPECK)[parts]
    return kept


def tissue_fraction(patches: Pixels) -> npt.NDArray[np.float64]:
    """Return which fraction of each patch is tissue, as `tissue_mask` finds it.

    Args:
        patches: N x height x width x 3 of one slide; their glass is looked for in all of them together.

    Returns:
        N fractions between 0 and 1.
    """
    white = background_colour(patches.reshape(-1, patches.shape[2], 3))
    return np.array([tissue_mask(patch, white).mean() for patch in patches])


def reduced(rgb: Pixels, factor: int) -> Pixels:
    """Return `rgb` shrunk by the whole number `factor`, each pixel the mean of its block."""
    if factor <= 1:
        return rgb
    rows = factor * max(STRIP_ROWS // factor, 1)  # Pillow copies what it shrinks: not the whole slide at a time
    strips = (Image.fromarray(rgb[top : top + rows]).reduce(factor) for top in range(0, len(rgb), rows))
    return np.concatenate([np.asarray(strip) for strip in strips])


def check_h_and_e(slide: Picture) -> None:
    """Refuse an image that plainly is no H&E section.

    Raises:
        BadInput: it is black, gray or blank, or its colours are not those of haematoxylin and eosin.
    """
    rgb, _ = slide.overview(CHECK_SIDE)
    spread = rgb.max(axis=-1).astype(int) - rgb.min(axis=-1)
    if (rgb.max(axis=-1) < BLACK).mean() > MAX_BLACK:
        raise BadInput(f"{slide.path} is mostly black, like a fluorescence image; give the H&E image, on a bright background.")
    if np.percentile(spread, 99) < MIN_SPREAD:
        raise BadInput(f"{slide.path} is blank or has no colour; give an H&E image in colour that shows tissue.")
    density = optical_density(rgb, background_colour(rgb))
    dense = density[density.mean(axis=-1) > DENSITY_BOUNDS[1]]
    if len(dense) < MIN_DENSE * rgb.shape[0] * rgb.shape[1]:
        raise BadInput(f"{slide.path} shows no tissue; give an H&E image that does.")
    if (takes_stain(dense) & (dense[:, 0] < MAX_RED_TO_GREEN * dense[:, 1])).mean() < MIN_STAINED:
        raise BadInput(
            f"{slide.path} does not have the colours of an H&E section (blue nuclei, pink around them); give an H&E image."
        )
