"""Expression whose truth is known, and pairs made of it in a way that gives it away: the worst case that attacks must find."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def expression(spots: int = 120, genes: int = 100, factors: int = 3, seed: int = 0) -> npt.NDArray[np.float32]:
    """Rows with some factors that genes share, and as much noise of each gene's own, S x G z-scores."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(factors, genes))  # the same tissue whatever the seed
    rows = rng.normal(size=(spots, factors)) @ loadings + np.sqrt(factors) * rng.normal(size=(spots, genes))
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)


def two_row_mixtures(
    rows: npt.NDArray[np.float32], per_spot: int, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Mix each row with one of its five nearest, without noise: pairs as rows, and the row that each one starts from."""
    rng = np.random.default_rng(seed)
    source = np.tile(np.arange(len(rows)), per_spot)
    distance = np.linalg.norm(rows[:, None] - rows, axis=2) + np.diag(np.full(len(rows), np.inf))
    partner = np.argsort(distance, axis=1)[source, rng.integers(5, size=len(source))]
    share = rng.uniform(0, 0.5, size=(len(source), 1))
    return ((1 - share) * rows[source] + share * rows[partner]).astype(np.float32), source
