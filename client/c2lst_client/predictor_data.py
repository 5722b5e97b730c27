"""From pairs to the predictor's batches: draws from one or two sources, and classical augmentation.

B = batch, P = patch side, G = genes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from c2lst_shared.diffusion.augment import dihedral, to_unit

Pixels = npt.NDArray[np.uint8]
Rows = Sequence[int] | npt.NDArray[np.integer[Any]]

# Optical densities of haematoxylin, eosin and the residual (Ruifrok and Johnston 2001), one stain per row.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
STAIN_STRENGTH = 0.1  # augmentation: each stain is up to this share stronger or weaker
STAIN_OFFSET = 0.02  # and up to this optical density darker or paler everywhere


class Pairs(Protocol):
    """Patches with their expression, read when asked for: a `PairSet` of a folder, or `ArrayPairs`."""

    def __len__(self) -> int:
        """Return the number of pairs, N."""

    @property
    def expression(self) -> npt.NDArray[np.float32]:
        """N x G z-scores."""

    def patches(self, indices: Rows) -> Pixels:
        """Return the patches of some pairs, n x P x P x 3, in the order asked for."""


@dataclass(frozen=True)
class ArrayPairs:
    """Pairs that are in memory."""

    pixels: Pixels  # N x P x P x 3
    expression: npt.NDArray[np.float32]  # N x G

    def __len__(self) -> int:
        return len(self.pixels)

    def patches(self, indices: Rows) -> Pixels:
        """Return the patches of some pairs, n x P x P x 3."""
        return self.pixels[np.asarray(indices, dtype=np.intp)]


class Part(NamedTuple):
    """One source of a batch."""

    pairs: Pairs
    size: int  # how many of the pairs are used: the first ones
    share: int  # how many of a batch come from here


class Batch(NamedTuple):
    """Training samples of the predictor."""

    images: Tensor  # [B, 3, P, P] in [-1, 1]
    expression: Tensor  # [B, G]


def batches(parts: Sequence[Part], generator: torch.Generator, *, augment: bool) -> Iterator[Batch]:
    """Yield batches without end; each part is gone through in shuffled rounds, so that all its pairs come equally often."""
    streams = [_rounds(part.size, generator) for part in parts]
    while True:
        drawn = [list(islice(stream, part.share)) for stream, part in zip(streams, parts, strict=True)]
        pixels = [part.pairs.patches(rows) for part, rows in zip(parts, drawn, strict=True)]
        expression = [part.pairs.expression[rows] for part, rows in zip(parts, drawn, strict=True)]
        images = to_unit(np.concatenate(pixels))
        if augment:
            images = stain_jitter(dihedral(images, generator), generator)
        yield Batch(images, torch.from_numpy(np.concatenate(expression)))


def stain_jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Vary how strongly each patch [B, 3, P, P] took each stain, a little, as between slides of one laboratory."""
    stains = torch.tensor(STAINS)
    strength = 1 + STAIN_STRENGTH * (2 * torch.rand(len(x), 3, generator=generator) - 1)
    offset = STAIN_OFFSET * (2 * torch.rand(len(x), 3, generator=generator) - 1)
    # Into stains, each times its strength, and back to optical density: one 3 x 3 matrix per patch.
    change = torch.linalg.inv(stains) @ (strength[:, :, None] * stains)
    density = -torch.log((x * 0.5 + 0.5).clamp_min(1 / 255))
    density = torch.einsum("bihw,bij->bjhw", density, change) + (offset @ stains)[:, :, None, None]
    return torch.exp(-density).clamp(0, 1) * 2 - 1


def _rounds(size: int, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(size, generator=generator).tolist()
