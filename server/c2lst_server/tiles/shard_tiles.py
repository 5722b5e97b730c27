"""Tiles of a corpus that was built in parts: read from tar shards by row, decoded in threads, normalised on the way.

Shards hold tiles as they were scanned, because the reference is known only when all parts are there; normalising one tile costs
less than decoding it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.errors import BadArtefact
from c2lst_shared.images.pixels import Pixels
from c2lst_shared.images.stain import SlideStain, normalise
from c2lst_shared.release.manifest import StainReference

ROWS = "rows.npy"
ROW = np.dtype([("shard", "<u4"), ("offset", "<i8"), ("size", "<i4")])
MAX_OPEN = 512  # shards kept open
MAX_THREADS = 8


class ShardTiles:
    """Looks like an array N x P x P x 3 of which single rows, or a few at once, are read."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        files: Sequence[Path],
        rows: npt.NDArray[np.void],
        slides: Sequence[tuple[int, SlideStain]],
        reference: StainReference,
        side: int,
    ) -> None:
        self.shape = (len(rows), side, side, 3)
        self.nbytes = len(rows) * side * side * 3
        self._files, self._rows, self._reference = files, rows, reference
        self._stops = np.cumsum([count for count, _ in slides])
        self._stains = [stain for _, stain in slides]
        self._open: dict[int, int] = {}
        self._threads = ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS), thread_name_prefix="tiles")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Pixels:
        """Read one tile, P x P x 3.

        Raises:
            BadArtefact: a shard is damaged or gone.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} tiles")
        row = int(row) % len(self)
        entry, stain = self._rows[row], self._stains[int(np.searchsorted(self._stops, row, side="right"))]
        tile = self._decoded(int(entry["shard"]), int(entry["offset"]), int(entry["size"]))
        if tile is None or tile.shape != self.shape[1:]:
            file = self._files[int(entry["shard"])]
            raise BadArtefact(f"{file} does not hold tile {row} of the corpus; delete the shard and build that part again.")
        return normalise(tile[None], stain, self._reference)[0]

    def read(self, rows: npt.NDArray[np.int64]) -> Pixels:
        """Read some tiles at once, in threads: B x P x P x 3."""
        return np.stack(list(self._threads.map(self.__getitem__, rows.tolist())))

    def _decoded(self, shard: int, offset: int, size: int) -> Pixels | None:
        try:
            with Image.open(io.BytesIO(self._content(shard, offset, size)), formats=["PNG"]) as image:
                return np.asarray(image) if image.size == self.shape[1:3] else None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None

    def _content(self, shard: int, offset: int, size: int) -> bytes:
        if shard not in self._open and len(self._open) < MAX_OPEN:
            opened = os.open(self._files[shard], os.O_RDONLY)
            if self._open.setdefault(shard, opened) != opened:  # another thread was quicker
                os.close(opened)
        if shard in self._open:
            return os.pread(self._open[shard], size, offset)
        with self._files[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def __del__(self) -> None:
        for opened in getattr(self, "_open", {}).values():
            os.close(opened)


def open_shards(
    folder: Path, shards: Sequence[str], slides: Sequence[tuple[int, SlideStain]], reference: StainReference, side: int
) -> ShardTiles:
    """Open the tiles of a corpus that was built in parts.

    Args:
        folder: of the corpus.
        shards: its tar files, below the folder.
        slides: number of tiles and stain of each slide, in the order of the rows.
        reference: what tiles are normalised to.
        side: of a tile, in pixels.

    Raises:
        OSError: the index of rows is gone.
        ValueError: it is damaged or belongs to other shards.
    """
    rows = np.load(folder / ROWS, mmap_mode="r", allow_pickle=False)
    outside = [name for name in shards if Path(name).is_absolute() or ".." in Path(name).parts]
    if rows.dtype != ROW or outside or (len(rows) and int(rows["shard"].max()) >= len(shards)):
        raise ValueError("the index does not belong to these shards")
    return ShardTiles([folder / name for name in shards], rows, slides, reference, side)
