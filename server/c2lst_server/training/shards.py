"""A corpus built in parts, by jobs that know nothing of each other: part i of n surveys and cuts its share of the sources.

OUT/parts/0003-of-0016/  part.json   what the part holds: `PartRecord`; written last
                         tiles.npy   one row per tile: `TILE`
                         *.tar       WebDataset shards: KEY.png (the tile as scanned) and KEY.json (slide, place, scale)

`merge` then makes the corpus of all parts without touching a tile: it finds the reference, the repeated tiles and the split as
an undivided build does, so that both give the same tiles in the same order.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ValidationError

from c2lst_server.training.build import (
    CACHE,
    Origin,
    arrange,
    chosen_reference,
    corpus_fingerprint,
    digests_of,
    is_finished,
    remove_debris,
    surveyed_in,
)
from c2lst_server.training.corpus import RECORD, Corpus
from c2lst_server.training.cutting import Job, jobs
from c2lst_server.training.processes import spread_over
from c2lst_server.training.shard_tiles import ROW, ROWS
from c2lst_server.training.sources import Source
from c2lst_server.training.survey import CorpusSettings
from c2lst_server.training.survey_cache import Finding, Surveyed
from c2lst_shared import atomic, locking
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.presets import Config
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

PARTS = "parts"
PART = "part.json"
TILE_LIST = "tiles.npy"
TILE = np.dtype([*[(name, ROW[name]) for name in ROW.names or ()], ("place", "<f8", (2,)), ("hash", "<u8", (2,))])
PNG_LEVEL = 1  # of compression: higher levels cost much and save little on tissue
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
        known = _read_part(folder)
        if known is not None and known.fingerprint == made_from:
            return known
        with locking.locked(folder / ".lock", f"Another process builds {folder}; wait until it is done, or stop it."):
            remove_debris(folder)
            surveyed = surveyed_in(origin, mine, digests, folder / CACHE, spread, progress)
            reference = chosen_reference(origin)
            (folder / PART).unlink(missing_ok=True)
            sources = {source.name: source for source in mine}
            progress.start("cutting tiles", sum(len(slide.places) for slide in surveyed))
            tasks = [
                _Shard(folder / f"{made_from[:12]}-{number:06}.tar", job, origin.settings)
                for number, job in enumerate(jobs(surveyed, sources))
            ]
            tiles = _tile_list(surveyed)
            for number, (task, entries) in enumerate(zip(tasks, spread(_write_shard, tasks), strict=True)):
                rows = slice(task.job.first, task.job.first + task.job.count)
                tiles["shard"][rows] = number
                tiles["offset"][rows], tiles["size"][rows] = entries[:, 0], entries[:, 1]
                progress.advance(task.job.count)
            names = tuple(task.path.name for task in tasks)
            record = PartRecord(
                part=part,
                parts=parts,
                fingerprint=made_from,
                listing=listing,
                organ=origin.organ,
                settings=origin.settings,
                reference=reference,
                slides=tuple(_part_slide(slide) for slide in surveyed),
                shards=names,
            )
            with atomic.replacing(folder / TILE_LIST) as temporary, temporary.open("wb") as file:
                np.save(file, tiles)
            atomic.write_text(folder / PART, record.model_dump_json(indent=1))
            for path in folder.glob("*.tar"):
                if path.name not in names:  # of an earlier build
                    path.unlink()
    return record


def merge(out: Path) -> Corpus:
    """Make the corpus of the parts in `out`; an unchanged second call returns at once.

    Raises:
        BadInput: parts are missing, or were built from different images or settings.
        BadArtefact: a part is damaged.
        Busy: another process merges.
    """
    parts = _all_parts(out)
    slides = sorted(
        ((slide, part, row) for part in parts for slide, row in zip(part.slides, _starts(part), strict=True)),
        key=lambda each: each[0].name,
    )
    first = parts[0]
    made_from = corpus_fingerprint(first.settings, [(slide.name, slide.sha256) for slide, _, _ in slides])
    if is_finished(out, made_from):
        return Corpus.open(out)
    with locking.locked(out / ".lock", f"Another process builds a corpus in {out}; wait until it is done, or stop it."):
        remove_debris(out)
        lists = {part.part: _tiles_of(out, part) for part in parts}
        rows = [lists[part.part][start : start + slide.count] for slide, part, start in slides]
        surveyed = [_surveyed(slide, tiles) for (slide, _, _), tiles in zip(slides, rows, strict=True)]
        record, repetitions = arrange(surveyed, first.settings, out, first.reference)
        shards = [(part, name) for part in parts for name in part.shards]
        before = {part.part: next((n for n, (p, _) in enumerate(shards) if p is part), 0) for part in parts}
        index = np.empty(record.count, ROW)
        for slide, gone, tiles, (_, part, _) in zip(record.slides, repetitions, rows, slides, strict=True):
            target, kept = index[slide.first : slide.first + slide.count], tiles[~gone]
            target["shard"] = kept["shard"] + before[part.part]
            target["offset"], target["size"] = kept["offset"], kept["size"]
        (out / RECORD).unlink(missing_ok=True)
        with atomic.replacing(out / ROWS) as temporary, temporary.open("wb") as file:
            np.save(file, index)
        names = tuple(f"{part_folder(out, p.part, p.parts).relative_to(out).as_posix()}/{name}" for p, name in shards)
        record = record.model_copy(update={"organ": first.organ, "shards": names})
        atomic.write_text(out / RECORD, record.model_dump_json(indent=1))
    return Corpus.open(out)


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
class _Shard:
    path: Path
    job: Job
    settings: CorpusSettings


def _write_shard(task: _Shard) -> npt.NDArray[np.int64]:
    """Write one shard unless it is there; return where in it each tile lies: N x 2, offset and size in bytes."""
    if not task.path.exists():  # it appears complete, and its name says what it was made from
        from webdataset import TarWriter

        with atomic.replacing(task.path) as temporary, temporary.open("wb") as file:
            writer = TarWriter(file, encoder=False, user="c2lst", group="c2lst", mtime=0)
            for piece in task.job.pieces:
                number = 0
                for tiles in piece.batches(task.settings):
                    for tile in tiles:
                        place, key = piece.places[number], f"{piece.sha256[:12]}-{piece.first + number:07}"
                        described = {"slide": piece.source.name, "place": place.tolist(), "um_per_px": piece.um_per_px}
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


def _tile_list(surveyed: Sequence[Surveyed]) -> npt.NDArray[np.void]:
    tiles = np.zeros(sum(len(slide.places) for slide in surveyed), TILE)
    if len(tiles):
        tiles["place"] = np.concatenate([slide.places for slide in surveyed])
        tiles["hash"] = np.concatenate([slide.hashes for slide in surveyed])
    return tiles


def _part_slide(slide: Surveyed) -> PartSlide:
    return PartSlide(name=slide.name, sha256=slide.sha256, count=len(slide.places), finding=slide.finding)


def _surveyed(slide: PartSlide, tiles: npt.NDArray[np.void]) -> Surveyed:
    return Surveyed(slide.name, slide.sha256, slide.finding, tiles["place"], np.ascontiguousarray(tiles["hash"]))


def _starts(part: PartRecord) -> list[int]:
    return [0, *np.cumsum([slide.count for slide in part.slides]).tolist()][: len(part.slides)]


def _read_part(folder: Path) -> PartRecord | None:
    try:
        return PartRecord.model_validate_json((folder / PART).read_text())
    except (OSError, ValueError, ValidationError):
        return None


def _all_parts(out: Path) -> list[PartRecord]:
    """Read the parts, in order, and see that they are all, and of one whole."""
    found = [part for part in (_read_part(path) for path in sorted((out / PARTS).glob("*-of-*"))) if part is not None]
    if not found:
        raise BadInput(f"{out} holds no finished part; run tiles build --shard i/n for every i from 0 to n - 1 first.")
    first = found[0]
    if len({part.parts for part in found}) > 1:
        raise BadInput(f"{out / PARTS} holds parts of {first.parts} and of {found[-1].parts}; delete those of one kind.")
    missing = sorted(set(range(first.parts)) - {part.part for part in found})
    if missing:
        raise BadInput(
            f"Of {first.parts} parts in {out}, {len(missing)} are missing or unfinished; run tiles build with --shard "
            f"{', '.join(f'{part}/{first.parts}' for part in missing[:8])}{' ...' if len(missing) > 8 else ''}."
        )
    for part in found:
        if (part.listing, part.settings, part.organ) != (first.listing, first.settings, first.organ):
            raise BadInput(
                f"Parts {first.part} and {part.part} in {out} were built from different images or settings; build both again "
                "with the same command."
            )
    return found


def _tiles_of(out: Path, part: PartRecord) -> npt.NDArray[np.void]:
    path = part_folder(out, part.part, part.parts) / TILE_LIST
    try:
        tiles: npt.NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        tiles = np.empty(0, np.void)
    if tiles.dtype != TILE or len(tiles) != sum(slide.count for slide in part.slides):
        raise BadArtefact(f"{path} is damaged; delete {path.parent} and build that part again.")
    return tiles


def _check_part(part: int, parts: int) -> None:
    if not (1 <= parts <= MAX_PARTS and 0 <= part < parts):
        raise BadInput(
            f"There is no part {part} of {parts}; parts of n are counted from 0/n to (n - 1)/n, n up to {MAX_PARTS}."
        )
