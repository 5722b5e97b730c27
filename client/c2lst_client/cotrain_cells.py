"""Finished cells of a co-training: one arm, one seed, its predictions. Kept on disk, they let a stopped co-training go on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from c2lst_shared import atomic

Predictions = npt.NDArray[np.float32]


class Cells(Protocol):
    """Where finished cells are kept, by a key that says all that they depend on."""

    def get(self, key: str) -> Predictions | None:
        """Return the predictions under `key`, None when they are not there."""

    def put(self, key: str, predictions: Predictions) -> None:
        """Keep `predictions` under `key`."""


class Forgetful:
    """Keeps nothing: every cell is trained."""

    def get(self, key: str) -> Predictions | None:
        """Never find anything."""
        return None

    def put(self, key: str, predictions: Predictions) -> None:
        """Let it go."""


class CellFolder:
    """Keeps each cell as a small `.npy` file; delete the folder to train all cells again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Predictions | None:
        """Return the predictions under `key`; a file that cannot be read counts as missing and is made again."""
        try:
            stored: Predictions = np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return stored

    def put(self, key: str, predictions: Predictions) -> None:
        """Write the predictions atomically."""
        with atomic.replacing(self._path(key)) as temporary, temporary.open("wb") as file:
            np.save(file, predictions, allow_pickle=False)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"


def digest(*parts: str | npt.NDArray[Any]) -> str:
    """Return the SHA-256 of texts and arrays, types and shapes included."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part)} {part}".encode())
        else:
            total.update(f"array {part.dtype} {part.shape} ".encode())
            total.update(np.ascontiguousarray(part).data)
    return total.hexdigest()
