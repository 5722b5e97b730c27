"""From images to a corpus: sources -> survey -> duplicates -> reference and split -> tiles -> record.

Two passes over the images keep memory independent of the number of tiles: the first (`survey.py`) finds tiles and stains,
the second (`cutting.py`) cuts, normalises and writes. Both run in several processes and give the same whatever their number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_server.tiles.corpus import FORMAT, RECORD, TILES, Corpus, CorpusRecord, CorpusSlide
from c2lst_server.tiles.cutting import write_tiles
from c2lst_server.tiles.duplicates import repeated
from c2lst_server.tiles.ready_made import TileGroup
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.sources import Kind, Source, find_sources
from c2lst_server.tiles.split import split_by_slide
from c2lst_server.tiles.stains import common_stain, stain_of_image, typical_slide
from c2lst_server.tiles.survey import check_not_empty, survey
from c2lst_server.tiles.survey_cache import Surveyed
from c2lst_shared import atomic, locking
from c2lst_shared.canonical import fingerprint
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.digest import image_digest
from c2lst_shared.images.stain import Method, reference_from
from c2lst_shared.presets import BackboneConfig
from c2lst_shared.processes import Spread, spread_over
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

CACHE = "cache"


@dataclass(frozen=True)
class Origin:
    """What a corpus is made from and how: all that decides its tiles."""

    folder: Path
    sources: tuple[Source, ...]
    settings: CorpusSettings
    reference: Path | None = None
    organ: str | None = None


def origin_of(
    images: Path,
    *,
    backbone: BackboneConfig,
    organ: str | None = None,
    um_per_px: float | None = None,
    overlap: float = 0.5,
    min_tissue: float = 0.5,
    quality_filter: bool = True,
    kind: Kind | None = None,
    stain_method: Method = "macenko",
    reference: Path | None = None,
    seed: int = 0,
) -> Origin:
    """Find the images and check the numbers.

    Args:
        images: folder of slides, or of ready-made tiles in subfolders; other files in it are ignored.
        backbone: gives the tile's size in pixels and in micrometres.
        organ: what the tiles show, for the record.
        um_per_px: scale of all images, micrometres per pixel; None takes it from the files.
        overlap: fraction of its side that a tile shares with the next, from 0 up to but without 1.
        min_tissue: fraction of a tile that must be tissue, from 0 to 1.
        quality_filter: leave out tiles that are blurred, folded or marked with a pen.
        kind: slides or ready-made tiles, where the folder does not show it.
        stain_method: how stain vectors are found.
        reference: image whose stain the tiles get; None takes a typical one with clear stains.
        seed: of the stain samples and of the choice of validation slides.

    Raises:
        BadInput: a number is out of range, or the folder has no images.
    """
    _check_numbers(um_per_px, overlap, min_tissue)
    settings = CorpusSettings(
        image_px=backbone.image_px,
        patch_um=backbone.patch_um,
        um_per_px=um_per_px,
        overlap=overlap,
        min_tissue=min_tissue,
        quality_filter=quality_filter,
        stain_method=stain_method,
        reference_sha256=None if reference is None else image_digest(reference),
        seed=seed,
    )
    tile_px = None if um_per_px is None else backbone.patch_um / um_per_px
    return Origin(images, tuple(find_sources(images, kind=kind, tile_px=tile_px)), settings, reference, organ)


def build_corpus(origin: Origin, out: Path, *, workers: int = 1, progress: Progress | None = None) -> Corpus:
    """Cut, normalise and store the tiles of every source; an unchanged second call returns at once.

    Args:
        origin: what to build from.
        out: folder for the corpus.
        workers: processes that look at images and cut them.
        progress: where to say how far it is.

    Raises:
        BadInput: some image cannot be used, or nowhere is there enough tissue.
        Busy: another process builds in `out`.
    """
    progress = progress or Silent()
    with spread_over(workers) as spread:
        digests = digests_of(origin.sources, spread)
        made_from = corpus_fingerprint(origin.settings, [(s.name, d) for s, d in zip(origin.sources, digests, strict=True)])
        if not is_finished(out, made_from):
            with locking.locked(out / ".lock", f"Another process builds a corpus in {out}; wait until it is done, or stop it."):
                remove_debris(out)
                surveyed = surveyed_in(origin, origin.sources, digests, out / CACHE, spread, progress)
                _write(origin, out, surveyed, spread, progress)
    return Corpus.open(out)


def digests_of(sources: Sequence[Source], spread: Spread) -> list[str]:
    """Return the digest of every source."""
    return list(spread(_digest, sources))


def surveyed_in(
    origin: Origin, sources: Sequence[Source], digests: Sequence[str], cache: Path, spread: Spread, progress: Progress
) -> list[Surveyed]:
    """Survey some of the sources of `origin`; what is in `cache` is not looked at again, what no longer belongs is removed.

    Raises:
        BadInput: a source cannot be used.
    """
    groups = [source for source in origin.sources if isinstance(source, TileGroup)]
    common = common_stain(groups, origin.settings)
    decisive = origin.settings.model_copy(update={"reference_sha256": None})  # the reference changes colours only
    keys = [cache / f"{fingerprint(FORMAT, decisive, digest)[:32]}.npz" for digest in digests]
    surveyed = survey(sources, digests, origin.settings, common=common, cache=keys, spread=spread, progress=progress)
    for path in set(cache.glob("*.npz")) - set(keys):
        path.unlink()
    return surveyed


def corpus_fingerprint(settings: CorpusSettings, inputs: Sequence[tuple[str, str]]) -> str:
    """Return the digest of all that decides the tiles: settings, and names and digests of the sources."""
    plain = [FORMAT, settings.model_dump(), [list(each) for each in inputs]]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def is_finished(out: Path, made_from: str) -> bool:
    """Say whether `out` holds this very corpus; anything else there is rebuilt."""
    try:
        return Corpus.open(out).record.fingerprint == made_from
    except BadArtefact:
        return False


def remove_debris(folder: Path) -> None:
    """Remove what a process left that was killed while it wrote."""
    for each in (folder, folder / CACHE):
        for path in each.glob(".*.part"):
            path.unlink(missing_ok=True)


def arrange(
    surveyed: Sequence[Surveyed], settings: CorpusSettings, folder: Path, chosen: tuple[str, StainReference] | None
) -> tuple[CorpusRecord, list[npt.NDArray[np.bool_]]]:
    """Decide what the corpus holds: drop repeated tiles, choose the reference unless it is given, hold slides out.

    Args:
        surveyed: all sources, sorted by name.
        settings: of the corpus.
        folder: of the images, for sentences.
        chosen: name and stain of the reference; None takes a typical slide.

    Returns:
        The record, and for each source which of its tiles are left out.

    Raises:
        BadInput: there is no tile, or too few to hold some out.
    """
    check_not_empty(surveyed, settings, folder)
    gone = repeated(np.concatenate([slide.hashes for slide in surveyed]))
    parts = np.split(gone, np.cumsum([len(slide.places) for slide in surveyed])[:-1])
    kept = [slide.without(rows) for slide, rows in zip(surveyed, parts, strict=True)]
    name, stain = chosen or _typical(surveyed)
    train, validation = split_by_slide(kept, settings.seed)
    first, slides = 0, []
    for slide, rows in zip(kept, parts, strict=True):
        slides.append(
            CorpusSlide(
                name=slide.name,
                sha256=slide.sha256,
                um_per_px=slide.finding.um_per_px,
                first=first,
                count=len(slide.places),
                stain=slide.finding.stain,
                refused=slide.finding.refused,
                duplicates=int(rows.sum()),
            )
        )
        first += len(slide.places)
    record = CorpusRecord(
        fingerprint=corpus_fingerprint(settings, [(slide.name, slide.sha256) for slide in surveyed]),
        settings=settings,
        stain=stain,
        reference=name,
        slides=tuple(slides),
        train=train,
        validation=validation,
    )
    return record, parts


def _typical(surveyed: Sequence[Surveyed]) -> tuple[str, StainReference]:
    typical = typical_slide(surveyed)
    return typical.name, reference_from(typical.finding.stain)


def chosen_reference(origin: Origin) -> tuple[str, StainReference] | None:
    """Return name and stain of the reference that the caller gave.

    Raises:
        BadInput: it is no H&E image with tissue.
    """
    if origin.reference is None:
        return None
    return origin.reference.name, stain_of_image(origin.reference, origin.settings)


def _write(origin: Origin, out: Path, surveyed: Sequence[Surveyed], spread: Spread, progress: Progress) -> None:
    """Write the tiles, then the record."""
    record, repetitions = arrange(surveyed, origin.settings, origin.folder, chosen_reference(origin))
    (out / RECORD).unlink(missing_ok=True)  # from here on, tiles of an earlier build do not count
    sources = {source.name: source for source in origin.sources}
    kept = [slide.without(rows) for slide, rows in zip(surveyed, repetitions, strict=True)]
    write_tiles(out / TILES, kept, sources, record.stain, origin.settings, spread, progress)
    atomic.write_text(out / RECORD, record.model_copy(update={"organ": origin.organ}).model_dump_json(indent=1))


def _digest(source: Source) -> str:
    return source.sha256()


def _check_numbers(um_per_px: float | None, overlap: float, min_tissue: float) -> None:
    if um_per_px is not None and not 0 < um_per_px < float("inf"):
        raise BadInput(f"A scale of {um_per_px} um per pixel is impossible; pass a positive --um-per-px.")
    if not 0 <= overlap <= 0.95:
        raise BadInput(f"An overlap of {overlap} is not possible; choose one from 0 to 0.95.")
    if not 0 <= min_tissue <= 1:
        raise BadInput(f"A least tissue fraction of {min_tissue} is not possible; choose one from 0 to 1.")
