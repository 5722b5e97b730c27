"""A finished corpus: stain-normalised tiles, split into training and validation, and the record of what they are.

OUT/  corpus.json  what the tiles are: `CorpusRecord`; written last, without it they do not count
      tiles.npy    uint8, N x image_px x image_px x 3: slide after slide, each slide row by row
                   or, of a corpus that was built in parts, rows.npy, which says where in the shards each tile lies
      cache/       what the survey found in each image (`survey_cache.py`)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.shard_tiles import ShardTiles, open_shards
from c2lst_server.tiles.split import Range, indices
from c2lst_shared.errors import BadArtefact
from c2lst_shared.images.stain import SlideStain
from c2lst_shared.presets import Config
from c2lst_shared.release.manifest import StainReference

TILES = "tiles.npy"
RECORD = "corpus.json"
FORMAT: Literal[2] = 2  # raised when the same images and settings would give other tiles


class CorpusSlide(Config):
    """One slide of the corpus and the range of tiles that it gave."""

    name: str
    sha256: str
    um_per_px: float
    first: int
    count: int
    stain: SlideStain
    refused: dict[str, int]  # by the quality filter: reason -> tiles
    duplicates: int  # tiles left out because an earlier one shows the same


class CorpusRecord(Config):
    """What a corpus holds, and from what it was made."""

    format: Literal[2] = FORMAT
    fingerprint: str  # over format, settings, and the images' names and contents
    organ: str | None = None
    settings: CorpusSettings
    stain: StainReference  # what the tiles are normalised to
    reference: str  # name of the image that it was taken from
    slides: tuple[CorpusSlide, ...]
    train: tuple[Range, ...]
    validation: tuple[Range, ...]
    shards: tuple[str, ...] = Field(default=(), description="tar files with the tiles, below the folder; none: tiles.npy")

    @property
    def count(self) -> int:
        """Number of tiles."""
        return sum(slide.count for slide in self.slides)


@dataclass(frozen=True)
class Corpus:
    """A finished corpus; `tiles` is read-only, N x P x P x 3, and read from disk row by row."""

    folder: Path
    record: CorpusRecord
    tiles: npt.NDArray[np.uint8] | ShardTiles

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open what was built in `folder`.

        Raises:
            BadArtefact: it is incomplete or damaged.
        """
        tiles: npt.NDArray[np.uint8] | ShardTiles
        try:
            record = CorpusRecord.model_validate_json((folder / RECORD).read_text())
            if record.shards:
                slides = [(slide.count, slide.stain) for slide in record.slides]
                tiles = open_shards(folder, record.shards, slides, record.stain, record.settings.image_px)
            else:
                tiles = np.load(folder / TILES, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, ValidationError):
            raise BadArtefact(f"{folder} holds no complete corpus; delete it and build it again.") from None
        side = record.settings.image_px
        if tiles.dtype != np.uint8 or tiles.shape != (record.count, side, side, 3):
            raise BadArtefact(f"{folder / TILES} is not what {RECORD} describes; delete {folder} and build it again.")
        return cls(folder, record, tiles)

    @property
    def train_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` to train on."""
        return indices(self.record.train)

    @property
    def validation_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` for the validation loss: slides, or parts of slides, that training never sees."""
        return indices(self.record.validation)


def is_corpus(folder: Path) -> bool:
    """Say whether a folder holds a corpus rather than images."""
    return (folder / RECORD).is_file()
