"""Ready-made tiles, grouped by the slide that they show: as files in folders, or as members of tar shards (`tar_tiles.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput
from c2lst_shared.images.digest import image_digest
from c2lst_shared.images.pixels import Pixels
from c2lst_shared.images.slide import Picture, Slide

Reader = Callable[[npt.NDArray[np.float64]], Pixels]  # from a place (two numbers) to a tile, P x P x 3

CROP_TOLERANCE = 0.98  # a tile may fall short of the asked tissue by this much: scales are rounded


class TooSmall(BadInput):
    """A ready-made tile shows less tissue than a tile of the corpus."""


class StoredTiles(Protocol):
    """Where the tiles of a group are."""

    def __len__(self) -> int:
        """Number of tiles."""

    def picture(self, number: int) -> Picture:
        """Open one tile.

        Raises:
            BadInput: now or when it is read: it is gone, or no image.
        """

    def sha256(self) -> str:
        """Digest over names and contents."""


@dataclass(frozen=True)
class TileFiles:
    """Tiles that are files below a folder, sorted by name."""

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, number: int) -> Picture:
        """Open one file."""
        return Slide(self.folder / self.names[number])

    def sha256(self) -> str:
        """Digest over the names and contents of the files."""
        digests = [[name, image_digest(self.folder / name)] for name in self.names]
        return hashlib.sha256(repr(digests).encode()).hexdigest()


@dataclass(frozen=True)
class TileGroup:
    """Ready-made tiles of one slide; a place is the number of a tile, twice."""

    name: str
    tiles: StoredTiles

    def __len__(self) -> int:
        return len(self.tiles)

    def sha256(self) -> str:
        """Digest over the names and contents of the tiles."""
        return self.tiles.sha256()

    @property
    def places(self) -> npt.NDArray[np.float64]:
        """All places, N x 2."""
        return np.repeat(np.arange(len(self), dtype=np.float64)[:, None], 2, axis=1)

    def scale(self, um_per_px: float | None) -> float:
        """Return micrometres per pixel: as given, or as the first tile says.

        Raises:
            BadInput: nobody says, or the first tile is no image.
        """
        picture = None if um_per_px else self.tiles.picture(0)
        scale = um_per_px or (picture.um_per_px if picture else None)
        if scale is None:
            where = picture.path if picture else self.name
            raise BadInput(f"{where} does not say how large its pixels are; pass --um-per-px.")
        return scale

    def reader(self, um_per_px: float, patch_um: float, image_px: int) -> Reader:
        """Return a function from one place to the middle of that tile, as large as a tile of the corpus.

        It raises `BadInput` for a tile that is no image and `TooSmall` for one that shows less tissue than is asked for.
        """
        side = patch_um / um_per_px

        def read(place: npt.NDArray[np.float64]) -> Pixels:
            picture = self.tiles.picture(int(place[0]))
            width, height = picture.size
            if min(width, height) < CROP_TOLERANCE * side:
                raise TooSmall(
                    f"{picture.path} shows {min(width, height) * um_per_px:.0f} um, less than a tile of {patch_um:g} um; pass "
                    "--patch-um for smaller tiles, or check --um-per-px."
                )
            return picture.read_square(width / 2, height / 2, min(side, width, height), image_px)

        return read
