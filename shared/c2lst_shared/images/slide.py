"""A slide image, read by region: the one door through which pixels enter, on either side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from c2lst_shared.errors import BadInput
from c2lst_shared.images import regions
from c2lst_shared.images.pixels import Pixels, plausible
from c2lst_shared.images.plain import PlainImage
from c2lst_shared.images.tiff import MAGIC, RegionTiff, needs_regions, of_scanner
from c2lst_shared.images.whole_slide import INDEX_IS_A_JPEG, SUFFIXES, WholeSlide, recognised

PLAIN_MAGIC = (b"\x89PNG", b"\xff\xd8\xff")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ome.tif", ".ome.tiff", ".tif", ".tiff", *SUFFIXES)  # what follows the name


class Picture(Protocol):
    """An image of a slide, wherever it is stored; none of its methods needs the whole of it in memory."""

    @property
    def path(self) -> Path:
        """The file or folder that it comes from, for sentences."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel as the file says; None when it does not, or says something implausible."""

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return the whole picture with its longer side at most about `longest` pixels, and how many times it was shrunk."""

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), `out_px` x `out_px` x 3; edges repeat outside.

        A side within 2 % of `out_px` is cropped at `out_px`, without resampling.
        """


@dataclass(frozen=True)
class Slide:
    """The `Picture` of an image file: JPEG, PNG, TIFF of any layout, or a whole-slide format of a scanner.

    How it is read depends on what the file holds, not on its name alone. JPEG, PNG and small TIFF are decoded at the first
    read and kept while the object lives; everything else is read by region.
    """

    path: Path

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels.

        Raises:
            BadInput: the file is missing, is no image, or is too large for its format.
        """
        return self._regions.sizes[0]

    @cached_property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel from TIFF, OME or openslide's tags; None when they are missing or implausible."""
        return plausible(self._regions.um_per_px)

    def overview(self, longest: int) -> tuple[Pixels, float]:
        """Return the whole picture with its longer side at most `longest` pixels, and how many times it was shrunk.

        Raises:
            BadInput: the file is no image, or is damaged.
        """
        return regions.overview(self._regions, longest)

    def shrunk(self, factor: int) -> Pixels:
        """Return the whole picture shrunk by the whole number `factor`, each pixel the mean of its block.

        A pyramid's own smaller copies are used where there are any; their means are nearly those.
        """
        return regions.shrunk(self._regions, factor)

    def read_square(self, x: float, y: float, side: float, out_px: int) -> Pixels:
        """Return the square of `side` pixels centred on (`x`, `y`), resized to `out_px`; edges repeat outside the slide.

        A side within 2 % of `out_px` is cropped at `out_px`, without resampling: resizing by so little only blurs.
        """
        return regions.read_square(self._regions, x, y, side, out_px)

    @cached_property
    def _regions(self) -> regions.Regions:
        if not self.path.is_file():
            raise BadInput(f"There is no image {self.path}.")
        try:
            with self.path.open("rb") as file:
                start = file.read(4)
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read ({error.strerror}); check who may read it.") from None
        if start in MAGIC:
            if of_scanner(self.path) and recognised(self.path):
                return WholeSlide(self.path)
            return RegionTiff(self.path) if needs_regions(self.path) else PlainImage(self.path)
        suffix = self.path.suffix.lower()
        may_be_index = suffix == INDEX_IS_A_JPEG or (suffix in SUFFIXES and not start.startswith(PLAIN_MAGIC))
        if may_be_index and recognised(self.path):
            return WholeSlide(self.path)
        return PlainImage(self.path)
