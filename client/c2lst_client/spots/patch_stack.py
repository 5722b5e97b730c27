"""A slide of which only square patches are left, in an HDF5 file of HEST's layout: a `Picture` of islands on white.

Positions are those of the slide that the patches were cut from. Patches are read one at a time, when asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_client.spots.damage import refused
from c2lst_client.spots.pair_files import BARCODE, COORDS, IMG
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    import h5py

MAX_PATCHES = 1_000_000
MAX_PATCH_PX = 4096
MAX_TABLE_BYTES = 64 << 20  # of barcodes or coords, unpacked
MAX_CHUNK_BYTES = 256 << 20  # HDF5 unpacks a chunk whole; HEST has one patch of 0.15 MB in each
MAX_POSITION = 10_000_000  # pixels; the largest scans have some 200,000
SLACK_PX = 2.0  # of the slide: HEST rounds corners down twice, so a spot may be that far off its patch's middle

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StoredPatches:
    """What an HDF5 file of patches says of them, but for their pixels. N patches."""

    barcodes: list[str]  # N
    coords: Points  # N x 2: x, y in pixels of the slide, as stored; the upper left corners in HEST's files
    image_px: int  # side of a patch as stored


@dataclass(frozen=True, eq=False)
class PatchStack:
    """The patches as one picture; its size is that of the smallest picture from the slide's corner that holds them all."""

    path: Path  # the HDF5 file
    corners: Points  # N x 2: x, y of each patch's upper left corner, in pixels of the slide
    side: float  # of the slide's pixels that a patch shows
    image_px: int  # side of a patch as stored
    um_per_px: float | None  # of the slide

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the slide."""
        width, height = np.maximum(np.ceil(self.corners.max(axis=0) + self.side), 1).astype(int)
        return int(width), int(height)

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return a mosaic of the reduced patches on white, its longer side at most `longest`, and how much it was reduced.

        Raises:
            BadInput: a patch cannot be read.
        """
        factor = max(max(self.size) / longest, 1.0)
        width, height = (max(round(extent / factor), 1) for extent in self.size)
        mosaic = Image.new("RGB", (width, height), "white")
        side = max(round(self.side / factor), 1)
        with opened(self.path) as file:
            for number, (x, y) in enumerate(self.corners):
                patch = Image.fromarray(file[IMG][number]).resize((side, side), Image.Resampling.BOX)
                mosaic.paste(patch, (round(x / factor), round(y / factor)))
        return np.asarray(mosaic), factor

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), from the patch whose centre is nearest.

        Outside of that patch its edge repeats, but a square that sticks out by no more than HEST's rounding is moved in.

        Raises:
            BadInput: the square is larger than a patch, or the patch cannot be read.
        """
        per_px = self.image_px / self.side  # stored pixels per pixel of the slide
        wanted = side * per_px
        crop = out_px if abs(wanted - out_px) <= 0.02 * out_px else max(round(wanted), 1)  # as `Slide.read_square`
        if wanted > self.image_px * 1.02:
            raise BadInput(self._too_large(side))
        crop = min(crop, self.image_px)
        distances = ((self.corners + self.side / 2 - (x, y)) ** 2).sum(axis=1)
        number = int(distances.argmin())
        starts = [self._start(place - corner, per_px, crop) for place, corner in zip((x, y), self.corners[number], strict=True)]
        columns, rows = (np.clip(np.arange(start, start + crop), 0, self.image_px - 1) for start in starts)
        with opened(self.path) as file:
            square: Pixels = file[IMG][number][np.ix_(rows, columns)]
        if crop == out_px:
            return square
        return np.asarray(Image.fromarray(square).resize((out_px, out_px), Image.Resampling.LANCZOS))

    def _start(self, place: float, per_px: float, crop: int) -> int:
        start, last, slack = round(place * per_px - crop / 2), self.image_px - crop, SLACK_PX * per_px
        if -slack <= start <= last + slack:
            return min(max(start, 0), last)
        return start

    def _too_large(self, side: float) -> str:
        if self.um_per_px is None:
            return (
                f"{self.path} holds patches of {self.side:.0f} px and {side:.0f} px are asked for; give the whole slide image."
            )
        return (
            f"{self.path} holds patches of {self.side * self.um_per_px:.1f} um and {side * self.um_per_px:.1f} um are asked "
            "for; give the whole slide image, or use a release that works on smaller patches."
        )


def read_stored(path: Path) -> StoredPatches:
    """Read names and positions of the patches of a file, and check what its pixels claim to be.

    Raises:
        BadInput: something is missing, of another type or shape, or too large.
    """
    with opened(path) as file:
        images, coords, barcodes = (_dataset(file, name, path) for name in (IMG, COORDS, BARCODE))
        _check_images(images, path)
        count, image_px = int(images.shape[0]), int(images.shape[1])
        if coords.shape != (count, 2) or coords.dtype.kind not in "iuf":
            raise BadInput(
                f"{path} has {COORDS} {coords.dtype} {coords.shape} for {count} patches; it should give x and y of each."
            )
        if barcodes.size != count or barcodes.shape[0] != count:
            raise BadInput(f"{path} has {barcodes.size} barcodes for {count} patches; write it again.")
        for table in (coords, barcodes):
            if table.size * table.dtype.itemsize > MAX_TABLE_BYTES:
                raise BadInput(f"{path} has {table.name} of more than {MAX_TABLE_BYTES >> 20} MiB; write it again.")
        names = [_name(value, path) for value in np.asarray(barcodes[()]).ravel()]
        places = np.asarray(coords[()], dtype=np.float64)
    if not (np.abs(places) <= MAX_POSITION).all():  # NaN fails as well
        row = int(np.argmin((np.abs(places) <= MAX_POSITION).all(axis=1)))
        raise BadInput(f"{path} has no plausible position for the patch of {names[row]!r}; correct or remove it.")
    return StoredPatches(names, places, image_px)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file of patches, and translate whatever HDF5 raises on a damaged one.

    Raises:
        BadInput: there is no such file, or what is read from it is damaged.
    """
    import h5py

    if not path.is_file():
        raise BadInput(f"There is no file {path}.")
    with refused(path, "HDF5", "it may be cut short: copy it again"), h5py.File(path, "r") as file:
        yield file


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    import h5py

    dataset = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None  # no other file's content
    if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
        raise BadInput(f"{path} has no array {name!r}; a file of patches holds {IMG}, {COORDS} and {BARCODE}.")
    if dataset.is_virtual or dataset.external:
        raise BadInput(f"{path} keeps {name!r} in other files; write it whole.")
    return dataset


def _check_images(images: h5py.Dataset, path: Path) -> None:
    shape = images.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or images.dtype != np.uint8:
        raise BadInput(f"{path} has {IMG} {images.dtype} {shape}; it should be uint8, patches x side x side x 3.")
    if not shape[0] or not shape[1] or shape[0] > MAX_PATCHES or shape[1] > MAX_PATCH_PX:
        raise BadInput(
            f"{path} claims {shape[0]:,} patches of {shape[1]:,} px; from 1 to {MAX_PATCHES:,} of up to {MAX_PATCH_PX:,} px "
            "are read."
        )
    if images.chunks and int(np.prod(images.chunks, dtype=np.float64)) > MAX_CHUNK_BYTES:
        raise BadInput(f"{path} keeps {IMG} in chunks of {images.chunks}, too large to unpack; store one patch per chunk.")


def _name(value: Any, path: Path) -> str:  # bytes or str, as h5py gives them
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise BadInput(f"{path} has a barcode that is not UTF-8 text ({value!r}); write it again.") from None
