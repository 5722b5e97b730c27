"""An OME-Zarr image as a `Picture`: read by region, from the coarsest of its levels that is fine enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_client.spots.zarr_store import opened, refuse_unsafe
from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import MAX_PIXELS

if TYPE_CHECKING:
    import zarr

AXES = ("c", "y", "x")
BLOCK_PX = 1024  # side of the blocks that an overview is made of
MAX_SIDE = 2_000_000  # pixels
LEVEL_AGREEMENT = 0.02  # how unequal the two sides' factors may be

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Level:
    """One resolution of the image."""

    name: str  # of the array in the image's group
    size: tuple[int, int]  # width, height
    factor: float  # pixels of the finest level per pixel of this one


@dataclass(frozen=True)
class ZarrPicture:
    """The pixels of one image of a store; positions are in those of its finest level."""

    path: Path  # the image's group
    axes: tuple[str, ...]  # c, y and x in the order of the arrays
    levels: tuple[Level, ...]  # finest first
    um_per_px: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.levels[0].size

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return the whole image, its longer side at most `longest` pixels, and how much it was reduced.

        Raises:
            BadInput: a part cannot be read.
        """
        level = next((level for level in reversed(self.levels) if max(level.size) >= longest), self.levels[0])
        (width, height), factor = level.size, max(-(-max(level.size) // longest), 1)
        block = factor * max(BLOCK_PX // factor, 1)
        whole = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
        with opened(self.path) as group:
            for top in range(0, height, block):
                for left in range(0, width, block):
                    part = self._region(group, level, left, top, min(left + block, width), min(top + block, height))
                    small = np.asarray(Image.fromarray(part).reduce(factor))
                    row, column = top // factor, left // factor
                    whole[row : row + small.shape[0], column : column + small.shape[1]] = small
        return whole, level.factor * factor

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), as `out_px` x `out_px` x 3; edges repeat outside.

        Raises:
            BadInput: it cannot be read, or is too large for the levels that there are.
        """
        level = next((level for level in reversed(self.levels) if level.factor * out_px <= side), self.levels[0])
        x, y, side = x / level.factor, y / level.factor, side / level.factor
        crop = out_px if abs(side - out_px) <= 0.02 * out_px else max(round(side), 1)  # as `Slide.read_square`
        if crop * crop > MAX_PIXELS:
            raise BadInput(f"A square of {crop} px of {self.path} is too large to read; write the image with smaller levels.")
        left, top = round(x - crop / 2), round(y - crop / 2)
        width, height = level.size
        columns = np.clip(np.arange(left, left + crop), 0, width - 1)
        rows = np.clip(np.arange(top, top + crop), 0, height - 1)
        with opened(self.path) as group:
            part = self._region(group, level, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        square = part[np.ix_(rows - rows[0], columns - columns[0])]
        if crop == out_px:
            return square
        return np.asarray(Image.fromarray(square).resize((out_px, out_px), Image.Resampling.LANCZOS))

    def _region(self, group: zarr.Group, level: Level, left: int, top: int, right: int, bottom: int) -> Pixels:
        ranges = {"c": slice(0, 3), "y": slice(int(top), int(bottom)), "x": slice(int(left), int(right))}
        stored: Any = group[level.name]
        part = np.asarray(stored[tuple(ranges[axis] for axis in self.axes)])
        return np.ascontiguousarray(part.transpose([self.axes.index(axis) for axis in ("y", "x", "c")]))


def open_picture(path: Path, um_per_px: float | None = None) -> ZarrPicture:
    """Open the image in the group `path`, and check what it claims to be.

    Raises:
        BadInput: it is no OME-Zarr image of 8-bit RGB.
    """
    with opened(path) as group:
        multiscale = multiscale_of(group, path)
        axes = tuple(str(axis["name"]) for axis in multiscale.get("axes", ()))
        if sorted(axes) != sorted(AXES):
            raise BadInput(f"{path} has the axes {', '.join(axes) or 'of no name'}; an image with {', '.join(AXES)} is read.")
        levels: list[Level] = []
        for dataset in multiscale["datasets"]:
            array: Any = group[str(dataset["path"])]
            refuse_unsafe(array, path)
            levels.append(_level(str(dataset["path"]), array, axes, levels[0].size if levels else None, path))
    if not levels:
        raise BadInput(f"{path} has no resolution levels; write the image again.")
    return ZarrPicture(path, axes, tuple(sorted(levels, key=lambda level: level.factor)), um_per_px)


def multiscale_of(group: zarr.Group, path: Path) -> Mapping[str, Any]:
    """Return the one entry of `multiscales`, which format 3 keeps under `ome`.

    Raises:
        BadInput: there is not one.
    """
    attributes: Any = group.attrs.asdict()
    found = attributes.get("ome", attributes).get("multiscales")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Mapping):
        raise BadInput(f"{path} is no OME-Zarr image (it has not one multiscales entry); write it with a current spatialdata.")
    return found[0]


def _level(name: str, array: Any, axes: tuple[str, ...], finest: tuple[int, int] | None, path: Path) -> Level:
    shape = tuple(int(extent) for extent in array.shape)
    if len(shape) != 3 or array.dtype != np.uint8 or shape[axes.index("c")] not in (3, 4):
        raise BadInput(f"{path} holds {array.dtype} {shape} ({', '.join(axes)}), not 8-bit RGB; give the H&E image as uint8.")
    width, height = shape[axes.index("x")], shape[axes.index("y")]
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadInput(f"{path} claims {width} x {height} pixels; from 1 to {MAX_SIDE:,} are read.")
    if finest is None:
        return Level(name, (width, height), 1.0)
    across, down = finest[0] / width, finest[1] / height
    rounding = 1 / width + 1 / height  # sizes are whole numbers
    if across < 1 or abs(across - down) > (LEVEL_AGREEMENT + rounding) * across:
        raise BadInput(f"{path} has levels that are no smaller copies of the first one ({name}); write the image again.")
    nearest = float(round(across))  # 601 px become 300 or 301: the factor is 2 all the same
    return Level(name, (width, height), nearest if abs(across - nearest) <= rounding * across else across)
