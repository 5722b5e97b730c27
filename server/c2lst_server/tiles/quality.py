"""Which tiles are fit to learn from: in focus, free of pen marks, not folded, and not empty.

Every tile is looked at on `LOOKED_AT` pixels, about 2 to 3 micrometres each, so that the numbers mean the same for every
preset. Light is measured as optical density against the slide's own glass. Whether tissue is folded or out of focus is judged
against the other tiles of its slide as well: two layers absorb twice, but how much one layer absorbs differs between
laboratories, and how much fine detail a sharp tile has differs between tissues and scanners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.images.pixels import Pixels
from c2lst_shared.images.tissue import optical_density

Reason = Literal["white", "pen", "fold", "blur", "small", "unreadable"]

LOOKED_AT, LEAST = 64, 8  # pixels along a side: usually, and of the smallest tiles
FAINT = 0.06  # mean optical density of 2 x 2 pixels below which they are glass
INK_DENSITY, INK_RED_TO_GREEN = 0.4, 1.45  # blue and green ink: this dense, this much more red than green is absorbed
BLACK_DENSITY, BLACK_TINT = 1.2, 1.3  # black ink: this dense, its channels differing by less than this factor
MAX_INK = 0.08  # fraction of a tile's pixels
MIN_SHARPNESS, SHARPNESS_RATIO = 0.12, 0.2  # see `Scores.sharpness`: of any tile, and of the sharp tiles of its slide
FOLD_DENSITY, FOLD_RATIO = 0.9, 2.2  # optical density of a fold, and how many times that of the slide's usual tile


@dataclass(frozen=True)
class Scores:
    """What is measured on N tiles; each field has N numbers."""

    tissue: npt.NDArray[np.float32]  # fraction that is not glass
    ink: npt.NDArray[np.float32]  # fraction that is blue, green or black as no stain is
    sharpness: npt.NDArray[np.float32]  # variance of the Laplacian over the variance: how much of the detail is fine
    density: npt.NDArray[np.float32]  # mean optical density of the densest quarter, in blocks larger than nuclei


def score(tiles: Pixels, white: npt.NDArray[np.float64], scanned_px: int = LOOKED_AT) -> Scores:
    """Measure tiles as they were scanned.

    Args:
        tiles: N x P x P x 3 of one slide, before stain normalisation; P is at least 8.
        white: red, green and blue of the slide's empty glass.
        scanned_px: pixels of the slide along a tile's side; what was enlarged from fewer is not blurred for that.
    """
    density = optical_density(_looked_at(tiles, max(min(scanned_px, LOOKED_AT), LEAST)), white)
    mean, red, green = density.mean(axis=-1), density[..., 0], density[..., 1]
    bluish = (mean > INK_DENSITY) & (red > INK_RED_TO_GREEN * green)
    black = (mean > BLACK_DENSITY) & (density.max(axis=-1) < BLACK_TINT * density.min(axis=-1))
    beside = mean[:, 1:-1, :-2] + mean[:, 1:-1, 2:] + mean[:, :-2, 1:-1] + mean[:, 2:, 1:-1]
    fine = (beside - 4 * mean[:, 1:-1, 1:-1]).var(axis=(1, 2))
    blocks = np.sort(_block_means(mean, 8).reshape(len(tiles), -1), axis=1)
    return Scores(
        tissue=(_block_means(mean, 2) > FAINT).mean(axis=(1, 2)),
        ink=(bluish | black).mean(axis=(1, 2)),
        sharpness=fine / np.maximum(mean.var(axis=(1, 2)), 1e-6),
        density=blocks[:, -max(blocks.shape[1] // 4, 1) :].mean(axis=1),
    )


def refusals(scores: Scores, min_tissue: float) -> list[Reason | None]:
    """Say for each tile of a slide why it is not used, or None when it is.

    Args:
        scores: of all tiles of one slide, since folds and blur are judged against the others.
        min_tissue: least fraction of a tile that is not glass.
    """
    if not len(scores.density):
        return []
    usual, sharp = float(np.median(scores.density)), float(np.percentile(scores.sharpness, 90))
    folded = (scores.density > FOLD_DENSITY) & (scores.density > FOLD_RATIO * usual)
    found: dict[Reason, npt.NDArray[np.bool_]] = {
        "white": scores.tissue < min_tissue,
        "pen": scores.ink > MAX_INK,
        "fold": folded,
        "blur": scores.sharpness < max(MIN_SHARPNESS, SHARPNESS_RATIO * sharp),
    }
    return [next((reason for reason, is_so in found.items() if is_so[row]), None) for row in range(len(scores.density))]


def joined(parts: Sequence[Scores]) -> Scores:
    """Put the scores of batches behind each other."""
    return Scores(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def _looked_at(tiles: Pixels, side: int) -> Pixels:
    if tiles.shape[1] <= side:
        return tiles
    size = (side, side)
    return np.stack([np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BOX)) for tile in tiles])


def _block_means(values: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Means of N x P x P over blocks of `side`; what is left over at the right and at the bottom does not count."""
    count, kept = len(values), values.shape[1] // side
    blocks = values[:, : kept * side, : kept * side].reshape(count, kept, side, kept, side)
    means: npt.NDArray[np.float32] = blocks.mean(axis=(2, 4))
    return means
