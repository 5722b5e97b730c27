"""A corpus built in parts, by jobs that know nothing of each other: part i of n surveys and cuts its share of the sources.

OUT/parts/0003-of-0016/  part.json   what the part holds: `PartRecord`; written last
                         tiles.npy   one row per tile: `TILE`
                         *.tar       WebDataset shards (`shard_writing.py`)

`merge.py` then makes the corpus of all parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from c2lst_server.tiles.build import (
    CACHE,
    Origin,
    chosen_reference,
    corpus_fingerprint,
    digests_of,
    remove_debris,
    surveyed_in,
)
from c2lst_server.tiles.cutting import jobs
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.shard_tiles import ROW
from c2lst_server.tiles.shard_writing import Shard, check_webdataset, write_shard
from c2lst_server.tiles.sources import Source
from c2lst_server.tiles.survey_cache import Finding, Surveyed
from c2lst_shared import atomic, locking
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.presets import Config
from c2lst_shared.processes import Spread, spread_over
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

PARTS = "parts"
PART = "part.json"
TILE_LIST = "tiles.npy"
TILE = np.dtype([*[(name, ROW[name]) for name in ROW.names or ()], ("place", "<f8", (2,)), ("hash", "<u8", (2,))])
MAX_PARTS = 9999


class PartSlide(Config):
    """One source of a part."""

    name: str
    sha256: str
    count: int
    finding: Finding


class PartRecord(Config):
    """What one part holds, and what the whole is that it is a part of."""

    format: Literal[1] = 1
    part: int
    parts: int
    fingerprint: str
    listing: str  # digest of the names of all sources, of this part and of the others
    organ: str | None
    settings: CorpusSettings
    reference: tuple[str, StainReference] | None  # that was given
    slides: tuple[PartSlide, ...]
    shards: tuple[str, ...]


def build_part(
    origin: Origin, out: Path, part: int, parts: int, *, workers: int = 1, progress: Progress | None = None
) -> PartRecord:
    """Survey and cut the sources that fall to part `part` of `parts`; what an earlier call finished is kept.

    Args:
        origin: what to build from, the same for all parts.
        out: folder of the corpus, shared by all parts.
        part: from 0.
        parts: how many there are.
        workers: processes that look at images and cut them.
        progress: where to say how far it is.

    Raises:
        BadInput: the numbers are impossible, or an image of this part cannot be used.
        Busy: another process builds this part.
    """
    _check_part(part, parts)
    check_webdataset()
    progress, folder = progress or Silent(), part_folder(out, part, parts)
    mine = [source for source in origin.sources if part_of(source, parts) == part]
    listing = hashlib.sha256("\n".join(source.name for source in origin.sources).encode()).hexdigest()
    with spread_over(workers) as spread:
        digests = digests_of(mine, spread)
        named = [(source.name, digest) for source, digest in zip(mine, digests, strict=True)]
        made_from = corpus_fingerprint(origin.settings, [("part", f"{part} of {parts} of {listing}"), *named])
        known = read_part(folder)
        if known is not None and known.fingerprint == made_from:
            return known
        with locking.locked(folder / ".lock", f"Another process builds {folder}; wait until it is done, or stop it."):
            remove_debris(folder)
            surveyed = surveyed_in(origin, mine, digests, folder / CACHE, spread, progress)
            record = PartRecord(
                part=part,
                parts=parts,
                fingerprint=made_from,
                listing=listing,
                organ=origin.organ,
                settings=origin.settings,
                reference=chosen_reference(origin),
                slides=tuple(_part_slide(slide) for slide in surveyed),
                shards=(),
            )
            return _write_part(folder, record, surveyed, mine, spread, progress)


def part_folder(out: Path, part: int, parts: int) -> Path:
    """Return where a part lies."""
    return out / PARTS / f"{part:04}-of-{parts:04}"


def part_from_text(text: str) -> tuple[int, int]:
    """Read `3/16`: part 3, counted from 0, of 16.

    Raises:
        BadInput: it is not written so, or there is no such part.
    """
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and len(text) < 16):
        raise BadInput(f"--shard {text!r} is not of the form i/n; pass for example --shard 0/16.")
    _check_part(int(part), int(parts))
    return int(part), int(parts)


def part_of(source: Source, parts: int) -> int:
    """Return which part a source belongs to: by its name, so that no part has to look at the images of the others."""
    return int.from_bytes(hashlib.sha256(source.name.encode()).digest()[:8]) % parts


def read_part(folder: Path) -> PartRecord | None:
    """Read what a part holds; None when it is not finished, or damaged."""
    try:
        return PartRecord.model_validate_json((folder / PART).read_text())
    except (OSError, ValueError, ValidationError):
        return None


def tiles_of(out: Path, part: PartRecord) -> npt.NDArray[np.void]:
    """Read the list of a part's tiles.

    Raises:
        BadArtefact: it is damaged.
    """
    path = part_folder(out, part.part, part.parts) / TILE_LIST
    try:
        tiles: npt.NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        tiles = np.empty(0, np.void)
    if tiles.dtype != TILE or len(tiles) != sum(slide.count for slide in part.slides):
        raise BadArtefact(f"{path} is damaged; delete {path.parent} and build that part again.")
    return tiles


def _write_part(
    folder: Path, record: PartRecord, surveyed: Sequence[Surveyed], mine: Sequence[Source], spread: Spread, progress: Progress
) -> PartRecord:
    """Write the shards, then the list of tiles, then the record; shards of an earlier build go last."""
    (folder / PART).unlink(missing_ok=True)
    progress.start("cutting tiles", sum(len(slide.places) for slide in surveyed))
    shards = [
        Shard(folder / f"{record.fingerprint[:12]}-{number:06}.tar", job, record.settings)
        for number, job in enumerate(jobs(surveyed, {source.name: source for source in mine}))
    ]
    tiles = _tile_list(surveyed)
    for number, (shard, entries) in enumerate(zip(shards, spread(write_shard, shards), strict=True)):
        rows = slice(shard.job.first, shard.job.first + shard.job.count)
        tiles["shard"][rows] = number
        tiles["offset"][rows], tiles["size"][rows] = entries[:, 0], entries[:, 1]
        progress.advance(shard.job.count)
    with atomic.replacing(folder / TILE_LIST) as temporary, temporary.open("wb") as file:
        np.save(file, tiles)
    record = record.model_copy(update={"shards": tuple(shard.path.name for shard in shards)})
    atomic.write_text(folder / PART, record.model_dump_json(indent=1))
    for path in folder.glob("*.tar"):
        if path.name not in record.shards:
            path.unlink()
    return record


def _tile_list(surveyed: Sequence[Surveyed]) -> npt.NDArray[np.void]:
    tiles = np.zeros(sum(len(slide.places) for slide in surveyed), TILE)
    if len(tiles):
        tiles["place"] = np.concatenate([slide.places for slide in surveyed])
        tiles["hash"] = np.concatenate([slide.hashes for slide in surveyed])
    return tiles


def _part_slide(slide: Surveyed) -> PartSlide:
    return PartSlide(name=slide.name, sha256=slide.sha256, count=len(slide.places), finding=slide.finding)


def _check_part(part: int, parts: int) -> None:
    if not (1 <= parts <= MAX_PARTS and 0 <= part < parts):
        raise BadInput(
            f"There is no part {part} of {parts}; parts of n are counted from 0/n to (n - 1)/n, n up to {MAX_PARTS}."
        )
