"""A look at one source: scale, stain, and which of its tiles are fit to learn from."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from c2lst_server.tiles.duplicates import perceptual_hash
from c2lst_server.tiles.quality import joined, refusals, score
from c2lst_server.tiles.ready_made import Reader, TileGroup, TooSmall
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.sources import SlideImage, Source
from c2lst_server.tiles.stains import stain_of_group, stain_of_slide
from c2lst_server.tiles.survey_cache import Finding, Surveyed
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import SlideStain
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import check_h_and_e

BATCH = 256  # tiles read and scored at a time


def look_at(source: Source, sha256: str, settings: CorpusSettings, common: SlideStain | None) -> Surveyed:
    """Look at every tile of a source once.

    Args:
        source: a slide or a group of tiles.
        sha256: its digest.
        settings: of the corpus.
        common: stain that a group with too few tiles of its own borrows.

    Raises:
        BadInput: it cannot be used.
    """
    if isinstance(source, TileGroup):
        return _tiles(source, sha256, settings, common)
    return _slide(source, sha256, settings)


def _slide(source: SlideImage, sha256: str, settings: CorpusSettings) -> Surveyed:
    slide = Slide(source.path)
    scale = settings.um_per_px or slide.um_per_px
    if scale is None:
        raise BadInput(f"{source.path} does not say how large its pixels are; pass --um-per-px.")
    check_h_and_e(slide)
    centres = tile_positions(slide, scale, settings.patch_um, settings.overlap, settings.min_tissue)
    stain = stain_of_slide(slide, settings)
    finding = Finding(um_per_px=scale, spacing=settings.patch_um / scale, stain=stain, refused={})
    found = Surveyed(source.name, sha256, finding, centres, np.empty((0, 2), np.uint64))
    read = source.reader(scale, settings.patch_um, settings.image_px, slide)
    return _judged(found, read, settings, min_tissue=0.0)  # the mask has judged that


def _tiles(group: TileGroup, sha256: str, settings: CorpusSettings, common: SlideStain | None) -> Surveyed:
    scale = group.scale(settings.um_per_px)
    finding = Finding(um_per_px=scale, spacing=1.0, stain=stain_of_group(group, common, settings), refused={})
    found = Surveyed(group.name, sha256, finding, group.places, np.empty((0, 2), np.uint64))
    read = group.reader(scale, settings.patch_um, settings.image_px)
    return _judged(found, read, settings, min_tissue=settings.min_tissue)


def _judged(found: Surveyed, read: Reader, settings: CorpusSettings, min_tissue: float) -> Surveyed:
    """Read every place once, a few at a time; keep those that are fit, with their hashes, and count the others by reason."""
    rows, scores, hashes, refused = [], [], [], Counter[str]()
    white, scanned_px = np.array(found.finding.stain.white), round(settings.patch_um / found.finding.um_per_px)
    errors = []
    for start in range(0, len(found.places), BATCH):
        tiles = []
        for row in range(start, min(start + BATCH, len(found.places))):
            try:
                tiles.append(read(found.places[row]))
                rows.append(row)
            except BadInput as error:
                errors.append(error)
                refused["small" if isinstance(error, TooSmall) else "unreadable"] += 1
        if tiles:
            scores.append(score(np.stack(tiles), white, scanned_px))
            hashes.append(perceptual_hash(np.stack(tiles)))
    if errors and not rows:
        raise errors[0]
    if not rows:
        return found
    reasons = refusals(joined(scores), min_tissue) if settings.quality_filter else [None] * len(rows)
    refused.update(reason for reason in reasons if reason is not None)
    fit = np.array([reason is None for reason in reasons])
    return replace(
        found,
        finding=found.finding.model_copy(update={"refused": dict(sorted(refused.items()))}),
        places=found.places[np.array(rows)[fit]],
        hashes=np.concatenate(hashes)[fit],
    )
