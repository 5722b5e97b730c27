"""The first pass over the sources of a corpus: which can be used, which of their tiles are fit, how they are stained.

Every source is looked at once, in one of several processes, and what was found is kept in a cache by its digest: another
image beside it, or a stop in the middle, does not have it looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_server.training.duplicates import perceptual_hash
from c2lst_server.training.processes import Spread
from c2lst_server.training.quality import joined, refusals, score
from c2lst_server.training.sources import Reader, SlideImage, Source, TileGroup, TooSmall
from c2lst_server.training.survey_cache import Finding, Surveyed, cached, keep
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import TEXTBOOK_STAINS, Method, SlideStain, fit_slide, reference_from
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import Pixels, check_h_and_e
from c2lst_shared.presets import Config
from c2lst_shared.progress import Progress
from c2lst_shared.release.manifest import StainReference

ERRORS_SHOWN = 5
LOOKED_AT = 256  # tiles read and scored at a time
SAMPLE = 64  # ready-made tiles that a stain is fitted on
MIN_OWN = 4  # ready-made tiles below which a slide's stain is not fitted on them alone


class CorpusSettings(Config):
    """What, beside the images, decides which tiles a corpus holds."""

    image_px: int
    patch_um: float
    um_per_px: float | None  # of all images; None: as each says
    overlap: float
    min_tissue: float
    quality_filter: bool
    stain_method: Method
    reference_sha256: str | None  # of the image that gives the stain; None: chosen among the slides
    seed: int


@dataclass(frozen=True)
class _Task:
    source: Source
    sha256: str
    settings: CorpusSettings
    common: SlideStain | None
    cache: Path


def survey(
    sources: Sequence[Source],
    digests: Sequence[str],
    settings: CorpusSettings,
    *,
    common: SlideStain | None,
    cache: Sequence[Path],
    spread: Spread,
    progress: Progress,
) -> list[Surveyed]:
    """Look at every source once; all that is wrong is said together, so that a large folder is mended in one go.

    Args:
        sources: slides and groups of tiles.
        digests: theirs.
        settings: of the corpus.
        common: stain that groups with too few tiles of their own borrow.
        cache: for each source, the file that keeps what was found.
        spread: over which processes.
        progress: where to say how far it is.

    Raises:
        BadInput: a source cannot be used.
    """
    found, problems = [], []
    progress.start("surveying images", len(sources))
    tasks = [
        _Task(source, digest, settings, common, path) for source, digest, path in zip(sources, digests, cache, strict=True)
    ]
    for source, result in zip(sources, spread(_survey_task, tasks), strict=True):
        if isinstance(result, Surveyed):
            found.append(result)
        else:
            problems.append(str(result))
        progress.advance(1, source.name)
    _refuse(problems, len(sources))
    return found


def check_not_empty(surveyed: Sequence[Surveyed], settings: CorpusSettings, folder: Path) -> None:
    """Refuse a folder of which no tile is left.

    Raises:
        BadInput: with the reasons for which tiles were refused.
    """
    if any(len(each.places) for each in surveyed):
        return
    refused = sum((Counter(each.finding.refused) for each in surveyed), Counter[str]())
    if refused:
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
        raise BadInput(
            f"No tile in {folder} is fit to learn from ({reasons}); look at the images, or pass --no-quality-filter."
        )
    raise BadInput(
        f"No tile of {settings.patch_um:g} um in {folder} shows {settings.min_tissue:.0%} tissue; lower "
        "--min-tissue or check --um-per-px."
    )


def common_stain(sources: Sequence[Source], settings: CorpusSettings) -> SlideStain | None:
    """Return the stain of ready-made tiles from all over the folder; None when there are none, or they carry none."""
    files = [group.folder / name for group in sources if isinstance(group, TileGroup) for name in group.files]
    if not files:
        return None
    group = TileGroup("", files[0].parent, tuple(str(path) for path in files[:: -(-len(files) // SAMPLE)]))
    try:
        return fit_slide(_sample(group, _scale_of(group, settings), settings), settings.stain_method, seed=settings.seed)
    except BadInput:
        return None


def stain_of_image(path: Path, settings: CorpusSettings) -> StainReference:
    """Return the stain of an image that the caller chose as the reference.

    Raises:
        BadInput: it is no H&E image with tissue.
    """
    slide = Slide(path)
    check_h_and_e(slide)
    return reference_from(_fit(slide, settings))


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


def _survey_task(task: _Task) -> Surveyed | BadInput:
    """Look at one source, in a process of the pool; what is wrong comes back as a result, to be said with the rest."""
    source = task.source
    known = cached(task.cache, source.name, task.sha256)
    if known is not None:
        return known
    try:
        return _survey_tiles(source, task) if isinstance(source, TileGroup) else _survey_slide(source, task)
    except BadInput as error:
        return error


def _survey_slide(source: SlideImage, task: _Task) -> Surveyed:
    settings, slide = task.settings, Slide(source.path)
    scale = settings.um_per_px or slide.um_per_px
    if scale is None:
        raise BadInput(f"{source.path} does not say how large its pixels are; pass --um-per-px.")
    check_h_and_e(slide)
    centres = tile_positions(slide, scale, settings.patch_um, settings.overlap, settings.min_tissue)
    stain = _fit(slide, settings)
    read = source.reader(scale, settings.patch_um, settings.image_px, slide)
    finding = Finding(um_per_px=scale, spacing=settings.patch_um / scale, stain=stain, refused={})
    kept, hashes, refused = _look(read, centres, finding, settings, min_tissue=0.0)  # the mask has judged that
    found = Surveyed(source.name, task.sha256, finding.model_copy(update={"refused": refused}), centres[kept], hashes)
    keep(task.cache, found)
    return found


def _survey_tiles(group: TileGroup, task: _Task) -> Surveyed:
    settings, scale = task.settings, _scale_of(group, task.settings)
    stain = _own_stain(group, scale, settings) or task.common
    if stain is None:
        _sample(group, scale, settings)  # where no tile can be read, its sentence is the better one
        raise BadInput(f"The tiles of {group.name} in {group.folder} show too little tissue to find their stains; add tiles.")
    places = np.repeat(np.arange(len(group.files), dtype=np.float64)[:, None], 2, axis=1)
    read = group.reader(scale, settings.patch_um, settings.image_px)
    finding = Finding(um_per_px=scale, spacing=1.0, stain=stain, refused={})
    kept, hashes, refused = _look(read, places, finding, settings, min_tissue=settings.min_tissue)
    found = Surveyed(group.name, task.sha256, finding.model_copy(update={"refused": refused}), places[kept], hashes)
    if stain is not task.common:  # which depends on what else is in the folder
        keep(task.cache, found)
    return found


def _look(
    read: Reader,
    places: npt.NDArray[np.float64],
    finding: Finding,
    settings: CorpusSettings,
    min_tissue: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], dict[str, int]]:
    """Read every tile once, a few at a time; return the rows that are fit, their hashes, and how many were refused for what."""
    rows, scores, hashes, refused = [], [], [], Counter[str]()
    white, scanned_px = np.array(finding.stain.white), round(settings.patch_um / finding.um_per_px)
    first_error = None
    for start in range(0, len(places), LOOKED_AT):
        tiles = []
        for row in range(start, min(start + LOOKED_AT, len(places))):
            try:
                tiles.append(read(places[row]))
                rows.append(row)
            except BadInput as error:
                first_error = first_error or error
                refused["small" if isinstance(error, TooSmall) else "unreadable"] += 1
        if tiles:
            scores.append(score(np.stack(tiles), white, scanned_px))
            hashes.append(perceptual_hash(np.stack(tiles)))
    if first_error is not None and not rows:
        raise first_error
    if not rows:
        return np.empty(0, np.int64), np.empty((0, 2), np.uint64), {}
    reasons = refusals(joined(scores), min_tissue) if settings.quality_filter else [None] * len(rows)
    refused.update(reason for reason in reasons if reason is not None)
    fit = np.array([reason is None for reason in reasons])
    return np.array(rows)[fit], np.concatenate(hashes)[fit], dict(sorted(refused.items()))


def _own_stain(group: TileGroup, scale: float, settings: CorpusSettings) -> SlideStain | None:
    if len(group.files) < MIN_OWN:
        return None
    try:
        return fit_slide(_sample(group, scale, settings), settings.stain_method, seed=settings.seed)
    except BadInput:
        return None


def _sample(group: TileGroup, scale: float, settings: CorpusSettings) -> Pixels:
    """Read tiles from all over the group: what is no image, or too small, is left to `_look`."""
    read = group.reader(scale, settings.patch_um, settings.image_px)
    tiles, errors = [], []
    for number in range(0, len(group.files), -(-len(group.files) // SAMPLE)):
        try:
            tiles.append(read(np.array([number, number], np.float64)))
        except BadInput as error:
            errors.append(error)
    if not tiles:
        raise errors[0]
    return np.stack(tiles)


def _scale_of(group: TileGroup, settings: CorpusSettings) -> float:
    scale = settings.um_per_px or Slide(group.folder / group.files[0]).um_per_px
    if scale is None:
        raise BadInput(f"{group.folder / group.files[0]} does not say how large its pixels are; pass --um-per-px.")
    return scale


def _fit(slide: Slide, settings: CorpusSettings) -> SlideStain:
    try:
        return fit_slide(slide.pixels, settings.stain_method, seed=settings.seed)
    except BadInput as error:
        raise BadInput(f"{slide.path}: {error}") from None


def _refuse(problems: Sequence[str], images: int) -> None:
    if len(problems) == 1:
        raise BadInput(problems[0])
    if problems:
        more = f" (and {len(problems) - ERRORS_SHOWN} more)" if len(problems) > ERRORS_SHOWN else ""
        raise BadInput(f"{len(problems)} of {images} images cannot be used: {' '.join(problems[:ERRORS_SHOWN])}{more}")
