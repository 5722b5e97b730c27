"""Pixels that are in memory already, as the `Picture` that they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from c2lst_shared.images import regions
from c2lst_shared.images.pixels import Pixels


@dataclass(frozen=True, eq=False)
class ArrayPicture:
    """An array, height x width x 3, as a `Picture`."""

    pixels: Pixels
    path: Path  # where it comes from, for sentences
    um_per_px: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def sizes(self) -> tuple[tuple[int, int]]:
        """The one level that it has as `Regions`."""
        return (self.size,)

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of it, as a view; there is no level but 0."""
        return self.pixels[top : top + height, left : left + width]

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return it with its longer side at most `longest` pixels, and how many times it was shrunk."""
        return regions.overview(self, longest)

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), resized to `out_px`; edges repeat outside."""
        return regions.read_square(self, x, y, side, out_px)
