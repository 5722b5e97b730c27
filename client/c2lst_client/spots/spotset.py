"""A SpotSet: one slide's spots, each a barcode, a pixel position, a patch (read when asked for) and raw counts.

Every reader ends here, so that nothing after the readers knows of file formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_shared.images.slide import Picture


class Spots(Protocol):
    """What panels and splits need of spots, whether just read (`SpotSet`) or prepared (`PreparedSpots`)."""

    @property
    def barcodes(self) -> list[str]:
        """S unique names."""

    @property
    def genes(self) -> list[str]:
        """G unique names."""

    @property
    def counts(self) -> scipy.sparse.csr_matrix:
        """S x G raw counts, int32."""

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        """S x 2: x, y of the spot's centre, in pixels of the slide."""

    @property
    def um_per_px(self) -> float:
        """Scale of the slide."""


@dataclass(frozen=True)
class SpotSet:
    """Spots of one slide, in one order for all fields. S = spots, G = genes.

    A SpotSet is valid once made: readers check what they read (see `checks.py`) before they build one.
    """

    barcodes: list[str]  # S unique names
    genes: list[str]  # G unique names
    counts: scipy.sparse.csr_matrix  # S x G, raw, int32, not negative
    centres: npt.NDArray[np.float64]  # S x 2: x, y of the spot's centre, in pixels of `slide`
    slide: Picture
    um_per_px: float  # of `slide`
    source: str  # the format that was read, in words
    notes: list[str] = field(default_factory=list)  # what the reader did or assumed, in sentences for the user

    def __len__(self) -> int:
        return len(self.barcodes)

    def patches(self, patch_um: float, image_px: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield each spot's patch, `image_px` x `image_px` x 3, showing `patch_um` micrometres around its centre."""
        for index in range(len(self)):
            yield self.patch(index, patch_um, image_px)

    def patch(self, index: int, patch_um: float, image_px: int) -> npt.NDArray[np.uint8]:
        """Return one spot's patch, as `patches` does."""
        x, y = self.centres[index]
        return self.slide.read_square(float(x), float(y), patch_um / self.um_per_px, image_px)
