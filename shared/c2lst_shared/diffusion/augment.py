"""Batches from stored pixels: random draws and the eight symmetries of the square.

Tissue under a microscope has no up or left, so every rotation and reflection of a patch is as true as the patch, and an
expression vector belongs to each of them alike.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from c2lst_shared.diffusion.trainer import WHOLE, Batch


def to_unit(pixels: npt.NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 pixels [B, P, P, 3] as floats in [-1, 1], [B, 3, P, P]."""
    return torch.as_tensor(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def dihedral(x: Tensor, generator: torch.Generator) -> Tensor:
    """Apply to each patch [B, ., P, P] one of the eight symmetries, drawn from `generator`."""
    return turned(x, torch.randint(8, (len(x),), generator=generator))


def turned(x: Tensor, which: Tensor) -> Tensor:
    """Apply to each patch [B, ., P, P] the symmetry with its number in `which` [B], 0 to 7."""
    result = []
    for patch, k in zip(x, which.tolist(), strict=True):
        rotated = torch.rot90(patch, k % 4, (1, 2))
        result.append(rotated.flip(2) if k >= 4 else rotated)
    return torch.stack(result)


class StoredPixels(Protocol):
    """Pixels [N, P, P, 3] that are no array, but are decoded as they are read."""

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return the patches of some rows."""


class StoredBatches:
    """Draws from `pixels` [N, P, P, 3] and, when given, `condition` [N, D] at the same rows."""

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8] | StoredPixels,
        rows: npt.NDArray[np.int64],
        condition: Tensor | None = None,
        *,
        augment: bool = True,
    ) -> None:
        self._pixels = pixels
        self._rows = rows
        self._condition = condition
        self._augment = augment

    def __call__(self, size: int, generator: torch.Generator, part: slice = WHOLE) -> Batch:
        """Draw `size` rows with replacement and read those of `part`."""
        chosen = torch.randint(len(self._rows), (size,), generator=generator).numpy()[part]
        which = torch.randint(8, (size,), generator=generator)[part] if self._augment else None
        return self._of(chosen, which)

    def __len__(self) -> int:
        return len(self._rows)

    def chosen(self, numbers: npt.NDArray[np.int64], generator: torch.Generator) -> Batch:
        """Read the rows with these numbers, each below `len`, turned at random."""
        which = torch.randint(8, (len(numbers),), generator=generator) if self._augment else None
        return self._of(numbers, which)

    def _of(self, numbers: npt.NDArray[np.int64], which: Tensor | None) -> Batch:
        rows, stored = self._rows[numbers], self._pixels
        images = to_unit(np.stack([stored[row] for row in rows]) if isinstance(stored, np.ndarray) else stored.read(rows))
        condition = None if self._condition is None else self._condition[torch.from_numpy(rows)]
        return Batch(images if which is None else turned(images, which), condition)
