"""One corpus of all parts, without touching a tile.

The reference, the repeated tiles and the split are found as an undivided build finds them, so that both give the same tiles in
the same order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_server.tiles.build import arrange, corpus_fingerprint, is_finished, remove_debris
from c2lst_server.tiles.corpus import RECORD, Corpus
from c2lst_server.tiles.parts import PARTS, PartRecord, PartSlide, part_folder, read_part, tiles_of
from c2lst_server.tiles.shard_tiles import ROW, ROWS
from c2lst_server.tiles.survey_cache import Surveyed
from c2lst_shared import atomic, locking
from c2lst_shared.errors import BadInput


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
        lists = {part.part: tiles_of(out, part) for part in parts}
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


def _surveyed(slide: PartSlide, tiles: npt.NDArray[np.void]) -> Surveyed:
    return Surveyed(slide.name, slide.sha256, slide.finding, tiles["place"], np.ascontiguousarray(tiles["hash"]))


def _starts(part: PartRecord) -> list[int]:
    return [0, *np.cumsum([slide.count for slide in part.slides]).tolist()][: len(part.slides)]


def _all_parts(out: Path) -> list[PartRecord]:
    """Read the parts, in order, and see that they are all, and of one whole."""
    found = [part for part in (read_part(path) for path in sorted((out / PARTS).glob("*-of-*"))) if part is not None]
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
