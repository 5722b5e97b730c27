"""An OME-Zarr image as a `Picture`: read by region, from the coarsest of its levels that is fine enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from c2lst_client.spots.zarr_store import opened, refuse_unsafe
from c2lst_shared.errors import BadInput
from c2lst_shared.images import regions

if TYPE_CHECKING:
    import zarr

AXES = ("c", "y", "x")
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

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level, as `Regions` have them."""
        return tuple(level.size for level in self.levels)

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return the whole image, its longer side at most `longest` pixels, and how much it was reduced.

        Raises:
            BadInput: a part cannot be read.
        """
        return regions.overview(self, longest)

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), as `out_px` x `out_px` x 3; edges repeat outside.

        Raises:
            BadInput: it cannot be read, or is too large for the levels that there are.
        """
        return regions.read_square(self, x, y, side, out_px)

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of a level, height x width x 3.

        Raises:
            BadInput: it cannot be read.
        """
        ranges = {"c": slice(0, 3), "y": slice(int(top), int(top + height)), "x": slice(int(left), int(left + width))}
        with opened(self.path) as group:
            stored: Any = group[self.levels[level].name]
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
