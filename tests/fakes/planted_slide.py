"""A made-up slide of two territories with a straight border, its spots on a square array, and predictions of known faults."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

PITCH = 70.0  # slide pixels between spots

Floats = npt.NDArray[np.float64]


def square_array(side: int) -> Floats:
    """Centres of side x side spots, row by row."""
    ticks = PITCH * (1.5 + np.arange(side))
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def territories(side: int) -> npt.NDArray[np.str_]:
    """`left` and `right` halves."""
    x = square_array(side)[:, 0]
    return np.where(x < np.median(x), "left", "right")


def two_territories(side: int, genes: int, *, noise: float, seed: int) -> tuple[Floats, Floats]:
    """Expression without and with noise, S x G: even genes high on the left, odd ones on the right."""
    sign = np.where(np.arange(genes) % 2, -1.0, 1.0)
    clean = np.where(territories(side) == "left", 1.0, -1.0)[:, None] * sign
    return clean, clean + noise * np.random.default_rng(seed).normal(size=clean.shape)


def blurred(values: Floats, side: int, spots: float) -> Floats:
    """Values smoothed over the slide by a Gaussian of `spots` spots."""
    cube = values.reshape(side, side, -1)
    return np.asarray(gaussian_filter(cube, (spots, spots, 0), mode="nearest").reshape(values.shape))
