"""WebDataset shards as `tiles build` writes them: KEY.png (a tile as it was scanned) and KEY.json (slide, place, scale).

`tar_tiles.py` reads such shards back as ready-made tiles, and so does every WebDataset loader.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_server.tiles.cutting import Job
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput

PNG_LEVEL = 1  # of compression: higher levels cost much and save little on tissue


def check_webdataset() -> None:
    """Refuse to begin without the library that writes shards.

    Raises:
        BadInput: with the command that installs it.
    """
    try:
        import webdataset  # noqa: F401
    except ImportError:
        raise BadInput("Shards are written with webdataset; run: pip install 'c2lst[shards]'") from None


@dataclass(frozen=True)
class Shard:
    """One tar file to be written."""

    path: Path
    job: Job
    settings: CorpusSettings


def write_shard(task: Shard) -> npt.NDArray[np.int64]:
    """Write one shard unless it is there.

    Returns:
        Where in it each tile lies: N x 2, offset and size in bytes.

    Raises:
        BadArtefact: it is there and holds another number of tiles.
    """
    if not task.path.exists():  # it appears complete, and its name says what it was made from
        from webdataset import TarWriter

        scale = task.settings.patch_um / task.settings.image_px  # of the tile, not of the slide that it was cut from
        with atomic.replacing(task.path) as temporary, temporary.open("wb") as file:
            writer = TarWriter(file, encoder=False, user="c2lst", group="c2lst", mtime=0)
            for piece in task.job.pieces:
                number = 0
                for tiles in piece.batches(task.settings):
                    for tile in tiles:
                        place, key = piece.places[number], f"{piece.sha256[:12]}-{piece.first + number:07}"
                        described = {"slide": piece.source.name, "place": place.tolist(), "um_per_px": scale}
                        writer.write({"__key__": key, "png": _png(tile), "json": json.dumps(described).encode()})
                        number += 1
            writer.close()
    entries = _entries(task.path)
    if len(entries) != task.job.count:
        raise BadArtefact(f"{task.path} is damaged; delete it and run the same command again.")
    return entries


def _entries(path: Path) -> npt.NDArray[np.int64]:
    with tarfile.open(path, "r:") as archive:
        found = [(member.offset_data, member.size) for member in archive if member.name.endswith(".png")]
    return np.array(found, np.int64).reshape(-1, 2)


def _png(tile: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()
