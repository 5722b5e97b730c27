"""Where to cut tiles: a regular grid over the tissue, the same on every machine."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.tissue import tissue_mask

MASK_PX_PER_TILE = 16  # resolution of the tissue mask
MASK_PIXELS = 16_000_000  # at most, which takes 0.6 GB: small tiles on a very large slide get a coarser mask


def tile_positions(
    slide: Slide, um_per_px: float, patch_um: float, overlap: float, min_tissue: float
) -> npt.NDArray[np.float64]:
    """Find the tiles of a slide that show enough tissue.

    Args:
        slide: the image.
        um_per_px: its scale, micrometres per pixel.
        patch_um: side of a tile in micrometres.
        overlap: fraction of its side that a tile shares with the next, from 0 up to but without 1.
        min_tissue: fraction of a tile that must be tissue.

    Returns:
        N x 2 centres (x, y) in pixels of the slide, row by row; every tile lies wholly inside the slide. N may be 0.

    Raises:
        BadInput: the slide is smaller than one tile.
    """
    side = patch_um / um_per_px
    width, height = slide.size
    if min(width, height) < side:
        raise BadInput(
            f"{slide.path} has {width} x {height} pixels, less than one tile of {patch_um:g} um ({side:.0f} pixels at "
            f"{um_per_px:g} um per pixel); check --um-per-px."
        )
    factor = max(int(side // MASK_PX_PER_TILE), math.isqrt((width * height - 1) // MASK_PIXELS) + 1)
    tissue = _summed_area(tissue_mask(slide.shrunk(factor)))
    lefts, tops = (np.arange(0.0, extent - side + 1e-6, side * (1 - overlap)) for extent in (width, height))
    rows, columns = np.meshgrid(tops, lefts, indexing="ij")
    fractions = _box_means(tissue, rows.ravel() / factor, columns.ravel() / factor, side / factor)
    centres = np.stack([columns.ravel(), rows.ravel()], axis=1) + side / 2
    kept: npt.NDArray[np.float64] = centres[fractions >= min_tissue]
    return kept


def _summed_area(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.pad(mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _box_means(
    table: npt.NDArray[np.int64], tops: npt.NDArray[np.float64], lefts: npt.NDArray[np.float64], side: float
) -> npt.NDArray[np.float64]:
    """Return the mean of the mask in squares of `side`, to the nearest pixel of the mask."""
    last_row, last_column = table.shape[0] - 1, table.shape[1] - 1
    top, bottom = (np.clip(np.rint(edge).astype(int), 0, last_row) for edge in (tops, tops + side))
    left, right = (np.clip(np.rint(edge).astype(int), 0, last_column) for edge in (lefts, lefts + side))
    inside = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return inside / np.maximum((bottom - top) * (right - left), 1)
