"""What every encoder consists of, whichever library built it: a network, and how patches are prepared for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from c2lst_client.evaluate.embedding import IMAGENET_MEAN, IMAGENET_SD, SIDE
from c2lst_client.evaluate.results import Result


class Preparation(Result):
    """How patches are prepared for a network: enlarged or reduced to a square, and their colours normalised."""

    side: int = SIDE  # px
    mean: tuple[float, float, float] = IMAGENET_MEAN  # of colours from 0 to 1: red, green, blue
    sd: tuple[float, float, float] = IMAGENET_SD


class Network(NamedTuple):
    """What a library made of a weight file."""

    forward: Callable[[Tensor], Tensor]  # normalised colours [B, 3, side, side] -> features [B, D]
    architecture: str
    pooling: str
