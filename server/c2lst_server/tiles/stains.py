"""The stains of a corpus: of a slide, of ready-made tiles, and the one that all tiles are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from c2lst_server.tiles.ready_made import TileGroup
from c2lst_server.tiles.settings import CorpusSettings
from c2lst_server.tiles.survey_cache import Surveyed
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import TEXTBOOK_STAINS, SlideStain, fit_slide, reference_from
from c2lst_shared.images.tissue import check_h_and_e
from c2lst_shared.release.manifest import StainReference

SAMPLE = 64  # ready-made tiles that a stain is fitted on
MIN_OWN = 4  # ready-made tiles below which a slide's stain is not fitted on them alone


def stain_of_slide(slide: Slide, settings: CorpusSettings) -> SlideStain:
    """Fit the stain of one slide.

    Raises:
        BadInput: it shows too little tissue, or not two stains.
    """
    try:
        return fit_slide(slide, settings.stain_method, seed=settings.seed)
    except BadInput as error:
        raise BadInput(f"{slide.path}: {error}") from None


def stain_of_tiles(groups: Sequence[TileGroup], settings: CorpusSettings) -> SlideStain:
    """Fit one stain on ready-made tiles from all over the groups.

    Raises:
        BadInput: no tile can be read, none says how large its pixels are, or they show too little tissue.
    """
    tiles, errors = [], []
    stops = np.cumsum([len(group) for group in groups])
    for place in range(0, int(stops[-1]), -(-int(stops[-1]) // SAMPLE)):
        index = int(np.searchsorted(stops, place, side="right"))
        group, number = groups[index], place - int(stops[index]) + len(groups[index])
        try:
            read = group.reader(group.scale(settings.um_per_px), settings.patch_um, settings.image_px)
            tiles.append(read(np.full(2, number, np.float64)))
        except BadInput as error:  # a tile that is no image, or too small, is counted later
            errors.append(error)
    if not tiles:
        raise errors[0]
    try:
        return fit_slide(np.stack(tiles), settings.stain_method, seed=settings.seed)
    except BadInput as error:
        raise BadInput(f"The tiles of {groups[0].name} do not show their stains; add tiles to them. {error}") from None


def common_stain(groups: Sequence[TileGroup], settings: CorpusSettings) -> SlideStain | None:
    """Return the stain of all ready-made tiles together; None when there are none, or they carry none."""
    try:
        return stain_of_tiles(groups, settings) if groups else None
    except BadInput:
        return None


def stain_of_group(group: TileGroup, common: SlideStain | None, settings: CorpusSettings) -> SlideStain:
    """Return the stain of the tiles of one slide; where they are too few or too pale, the `common` one.

    Raises:
        BadInput: there is no common stain either.
    """
    if common is not None and len(group) < MIN_OWN:
        return common
    try:
        return stain_of_tiles([group], settings)
    except BadInput:
        if common is None:
            raise
        return common


def stain_of_image(path: Path, settings: CorpusSettings) -> StainReference:
    """Return the stain of an image that the caller chose as the reference.

    Raises:
        BadInput: it is no H&E image with tissue.
    """
    slide = Slide(path)
    check_h_and_e(slide)
    return reference_from(stain_of_slide(slide, settings))


def typical_slide(surveyed: Sequence[Surveyed]) -> Surveyed:
    """Return the slide that serves best as the reference: the medoid of the quarter with the most textbook-like stains.

    A reference whose haematoxylin and eosin nearly coincide would make every slide as colourless.
    """
    matrices = np.array([slide.finding.stain.matrix for slide in surveyed])
    likeness = np.einsum("nsc,sc->n", matrices, np.array(TEXTBOOK_STAINS))
    best = np.argsort(-likeness, kind="stable")[: -(-len(surveyed) // 4)]
    strengths = np.array([surveyed[index].finding.stain.max_concentration for index in best])
    colours = (matrices[best] * strengths[:, :, None]).reshape(len(best), -1)
    distances = [float(np.linalg.norm(colours - colour, axis=1).sum()) for colour in colours]
    return surveyed[best[int(np.argmin(distances))]]
