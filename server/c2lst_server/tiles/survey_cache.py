"""What the survey found in one source, and its file in the cache (OUT/cache/KEY.npz), which may be deleted at any time."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from c2lst_shared import atomic
from c2lst_shared.images.stain import SlideStain
from c2lst_shared.presets import Config

DAMAGE = (OSError, ValueError, KeyError, EOFError, ValidationError, zipfile.BadZipFile)


class Finding(Config):
    """What was found in a source, its tiles apart."""

    um_per_px: float
    spacing: float  # how far apart two places must be for their tiles not to overlap
    stain: SlideStain
    refused: dict[str, int]  # reason -> tiles


@dataclass(frozen=True)
class Surveyed:
    """One source after the first pass; its pixels are not kept."""

    name: str
    sha256: str
    finding: Finding
    places: npt.NDArray[np.float64]  # N x 2: of the tiles that are fit, as their source counts
    hashes: npt.NDArray[np.uint64]  # N x 2

    def without(self, rows: npt.NDArray[np.bool_]) -> Surveyed:
        """The same without the tiles that `rows` marks."""
        return replace(self, places=self.places[~rows], hashes=self.hashes[~rows])


def keep(path: Path, found: Surveyed) -> None:
    """Write the file of one source."""
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        text = np.frombuffer(found.finding.model_dump_json().encode(), np.uint8)
        np.savez(file, finding=text, places=found.places, hashes=found.hashes)


def cached(path: Path, name: str, sha256: str) -> Surveyed | None:
    """Read the file of one source; None when there is none, or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            finding = Finding.model_validate_json(arrays["finding"].tobytes())
            places, hashes = arrays["places"], arrays["hashes"]
    except DAMAGE:
        return None
    if places.dtype != np.float64 or hashes.dtype != np.uint64 or not places.shape == hashes.shape == (len(places), 2):
        return None
    return Surveyed(name, sha256, finding, places, hashes)
