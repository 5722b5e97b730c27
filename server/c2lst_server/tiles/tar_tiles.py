"""Ready-made tiles in WebDataset shards: tar files of KEY.png (or .jpg, .tif), each with a KEY.json beside it or without.

KEY.json may say `slide` (or any of `metadata.SLIDE_KEYS`) and `um_per_px`. Shards are indexed once, by their headers; a tile is
then read at its place, so that hundreds of thousands of them need no unpacking.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_server.tiles.metadata import slide_named_in, slide_of
from c2lst_server.tiles.ready_made import TileGroup
from c2lst_shared.errors import BadInput
from c2lst_shared.images.array_picture import ArrayPicture
from c2lst_shared.images.pixels import DAMAGE, MODES, plausible, rgb
from c2lst_shared.images.slide import Picture

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_TILE_BYTES = 64 << 20
MAX_TILE_PIXELS = 4096 * 4096
MAX_JSON_BYTES = 64 << 10


@dataclass(frozen=True, eq=False)
class TarTiles:
    """Members of tar shards that show one slide, in the order of the shards."""

    shards: tuple[Path, ...]
    members: npt.NDArray[np.int64]  # N x 3: number of the shard, offset and size of the image in it, bytes
    um_per_px: float | None

    def __len__(self) -> int:
        return len(self.members)

    def picture(self, number: int) -> Picture:
        """Decode one tile.

        Raises:
            BadInput: it is no image, or a large one.
        """
        shard, offset, size = self.members[number].tolist()
        where = self.shards[shard] / f"tile at byte {offset}"
        try:
            with Image.open(io.BytesIO(self._content(shard, offset, size)), formats=list(FORMATS.values())) as image:
                if image.mode not in MODES or image.width * image.height > MAX_TILE_PIXELS:
                    raise BadInput(f"{where} is no tile (mode {image.mode}, {image.width} x {image.height} px); leave it out.")
                return ArrayPicture(np.asarray(rgb(image)), where, self.um_per_px)
        except (*DAMAGE, Image.DecompressionBombError) as error:
            raise BadInput(f"{where} cannot be decoded ({error}); write the shard again.") from None

    def sha256(self) -> str:
        """Digest over the contents of the tiles."""
        digest = hashlib.sha256()
        for shard, offset, size in self.members.tolist():
            digest.update(hashlib.sha256(self._content(shard, offset, size)).digest())
        return digest.hexdigest()

    def _content(self, shard: int, offset: int, size: int) -> bytes:
        with self.shards[shard].open("rb") as file:
            file.seek(offset)
            return file.read(size)


def groups_in_shards(shards: Sequence[Path]) -> list[TileGroup]:
    """Index shards and group their tiles by slide: as KEY.json says, else as the key begins, else by shard.

    Raises:
        BadInput: a shard is damaged or holds no image, or two tiles of a slide have different scales.
    """
    members: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    scales: dict[str, set[float | None]] = defaultdict(set)
    for number, shard in enumerate(shards):
        for slide, scale, offset, size in _indexed(shard):
            members[slide].append((number, offset, size))
            scales[slide].add(scale)
    for slide, found in scales.items():
        if len(found) > 1:
            raise BadInput(f"The tiles of {slide} in {shards[0].parent} have different um_per_px; give them one scale.")
    return [
        TileGroup(slide, TarTiles(tuple(shards), np.array(members[slide], np.int64), next(iter(scales[slide]))))
        for slide in sorted(members)
    ]


def _indexed(shard: Path) -> list[tuple[str, float | None, int, int]]:
    """Return slide, scale, offset and size of every image of a shard."""
    images: dict[str, tuple[int, int]] = {}
    said: dict[str, dict[str, object]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                key, extension = _split(member.name)
                if extension in FORMATS and member.size <= MAX_TILE_BYTES:
                    images[key] = (member.offset_data, member.size)
                elif extension == ".json" and member.size <= MAX_JSON_BYTES:
                    said[key] = _json(archive, member)
    except (tarfile.TarError, OSError) as error:
        raise BadInput(f"{shard} cannot be read as a tar shard ({error}); write it again.") from None
    if not images:
        raise BadInput(f"{shard} holds no image; a shard has KEY.png or KEY.jpg, and KEY.json beside it or not.")
    return [
        (slide_named_in(said.get(key, {})) or slide_of(key) or shard.stem, _scale(said.get(key, {})), *where)
        for key, where in images.items()
    ]


def _split(name: str) -> tuple[str, str]:
    """Divide a member's name as WebDataset does: at the first dot of its last part."""
    path = PurePosixPath(name)
    key, dot, extension = path.name.partition(".")
    return (path.parent / key).as_posix(), f"{dot}{extension}".lower()


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, object]:
    file = archive.extractfile(member)
    try:
        content = json.loads(file.read()) if file else None
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _scale(said: dict[str, object]) -> float | None:
    scale = said.get("um_per_px")
    return plausible(float(scale)) if isinstance(scale, int | float) else None
