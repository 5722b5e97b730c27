"""Reading by region: squares and overviews of an image that may be far larger than memory, from its best pyramid level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import MAX_PIXELS, Pixels, rows_at_once

FINE = 4.0  # so many times finer than an overview a level must be, unless a whole number: blocks cut through pixels else
OVERSAMPLING = 2.0  # a level's own smoothing then hardly shows in what is resized from it
LANCZOS_REACH = 3  # source pixels on either side, times the shrinking
NO_RESAMPLING = 0.02  # a side that differs by less is cropped: resizing by so little only blurs


class Regions(Protocol):
    """What a kind of image file offers. Level 0 is the whole picture, the next ones are smaller copies of it."""

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Width and height of each level in pixels, the largest first."""

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel of level 0 as the file claims, plausible or not."""

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of a level, height x width x 3; it lies wholly inside. The caller does not write to it."""


def read_square(regions: Regions, x: float, y: float, side: float, out_px: int) -> Pixels:
    """Return the square of `side` pixels of level 0 centred on (`x`, `y`), resized to `out_px`; edges repeat outside.

    A square that is resized comes from a level at least `OVERSAMPLING` times finer than asked for, so that a picture gives
    nearly the same whether it has smaller copies or not.

    Raises:
        BadInput: the square is too large for the levels that there are.
    """
    if abs(side - out_px) <= NO_RESAMPLING * out_px:
        return _cropped(regions, 0, round(x - out_px / 2), round(y - out_px / 2), out_px)
    level, factor = _level_for(regions, side / out_px / OVERSAMPLING)
    left, top, side = (x - side / 2) / factor, (y - side / 2) / factor, side / factor
    margin = int(np.ceil(LANCZOS_REACH * max(side / out_px, 1.0))) + 1  # what the filter sees beyond the square
    first_column, first_row = int(np.floor(left)) - margin, int(np.floor(top)) - margin
    read = int(np.ceil(side)) + 2 * margin + 1
    if read * read > MAX_PIXELS:
        raise BadInput(
            f"A square of {side:.0f} px is too large to be read at once; save the image with smaller copies (a pyramid)."
        )
    square = _cropped(regions, level, first_column, first_row, read)
    box = (left - first_column, top - first_row, left - first_column + side, top - first_row + side)
    # Lanczos with Pillow's support scaling is an antialiasing filter when shrinking.
    return np.asarray(Image.fromarray(square).resize((out_px, out_px), Image.Resampling.LANCZOS, box=box))


def _cropped(regions: Regions, level: int, left: int, top: int, side: int) -> Pixels:
    """Return a square of a level as it is; edges repeat outside."""
    width, height = regions.sizes[level]
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    part = regions.read(level, columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    return part[np.ix_(rows - rows[0], columns - columns[0])]


def overview(regions: Regions, longest: int) -> tuple[Pixels, float]:
    """Return the whole picture with its longer side at most `longest` pixels, and how many times it was shrunk."""
    factor = max(-(-max(regions.sizes[0]) // longest), 1)
    return shrunk(regions, factor), float(factor)


def shrunk(regions: Regions, factor: int) -> Pixels:
    """Return the whole picture shrunk by the whole number `factor`: of level 0 the mean of each block, of another nearly so."""
    width, height = regions.sizes[0]
    if factor <= 1:
        return regions.read(0, 0, 0, width, height)
    steps = [factor / downsample((width, height), size) for size in regions.sizes]
    level = max(index for index, step in enumerate(steps) if index == 0 or step >= FINE or (step >= 1 and step.is_integer()))
    if level > 0:
        return _resized(regions, level, steps[level], (-(-width // factor), -(-height // factor)))
    step = rows_at_once(factor)
    bands = (regions.read(0, 0, top, width, min(step, height - top)) for top in range(0, height, step))
    return np.concatenate([np.asarray(Image.fromarray(band).reduce(factor)) for band in bands])


def _resized(regions: Regions, level: int, step: float, size: tuple[int, int]) -> Pixels:
    """Return a level shrunk by `step`, which need not be whole, to `size`, some rows at a time."""
    width, height = regions.sizes[level]
    columns, rows = size
    at_once = rows_at_once(max(round(step), 1)) // max(round(step), 1)
    bands = []
    for first in range(0, rows, at_once):
        last = min(first + at_once, rows)
        top, bottom = min(int(first * step), height - 1), int(np.ceil(last * step))
        band = regions.read(level, 0, top, width, min(bottom, height) - top)
        beyond = (max(bottom - height, 0), max(int(np.ceil(columns * step)) - width, 0))  # the last blocks may be cut
        band = np.pad(band, ((0, beyond[0]), (0, beyond[1]), (0, 0)), mode="edge")
        box = (0, first * step - top, columns * step, last * step - top)
        bands.append(np.asarray(Image.fromarray(band).resize((columns, last - first), Image.Resampling.BOX, box=box)))
    return np.concatenate(bands)


def _level_for(regions: Regions, shrinking: float) -> tuple[int, float]:
    """Return the coarsest level that need not be enlarged when the picture is shrunk so much, and how much coarser it is."""
    factors = [downsample(regions.sizes[0], size) for size in regions.sizes]
    level = max((index for index, factor in enumerate(factors) if factor <= shrinking), key=factors.__getitem__, default=0)
    return level, factors[level]


def downsample(whole: tuple[int, int], level: tuple[int, int]) -> float:
    """Return how many times smaller a level is; a whole number where its size is one that such a number rounds to."""
    ratio = max(whole) / max(level)
    nearest = max(round(ratio), 1)
    fits = all(abs(full / nearest - small) < 1 for full, small in zip(whole, level, strict=True))
    return float(nearest) if fits else ratio
