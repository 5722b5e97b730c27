"""The central corpus: a folder of H&E images becomes stain-normalised tiles on disk, split into training and validation.

OUT/  tiles.npy  uint8, N x image_px x image_px x 3, slide after slide, each slide row by row
      corpus.json  what they are: `CorpusRecord`

Two passes over the images keep memory independent of the number of tiles: the first finds tiles and stains, the second
cuts, normalises and appends to the file. `corpus.json` is written last; without it the tiles do not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES, Slide
from c2lst_shared.images.stain import Method, SlideStain, fit_slide, normalise, reference_from
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import check_h_and_e
from c2lst_shared.presets import BackboneConfig, Config
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

TILES = "tiles.npy"
RECORD = "corpus.json"
VALIDATION_FRACTION = 0.1
MIN_SLIDES_TO_HOLD_OUT = 3  # with fewer slides, the bottom of each is held out instead of a whole one
WRITE_BATCH = 64  # tiles normalised and written at a time
ERRORS_SHOWN = 5
TEXTBOOK_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11))  # haematoxylin, eosin: Ruifrok and Johnston 2001

Ranges = tuple[tuple[int, int], ...]  # half-open ranges of tile indices


class CorpusSlide(Config):
    """One image of the corpus and the range of tiles cut from it."""

    name: str
    sha256: str
    um_per_px: float
    first: int
    count: int
    stain: SlideStain


class CorpusSettings(Config):
    """What, beside the images, decides which tiles a corpus holds."""

    image_px: int
    patch_um: float
    um_per_px: float | None
    overlap: float
    min_tissue: float
    stain_method: Method
    reference_sha256: str | None
    seed: int


class CorpusRecord(Config):
    """What is in `tiles.npy`, and from what it was made."""

    format: Literal[1] = 1
    fingerprint: str  # over the images' names and contents and the settings
    settings: CorpusSettings
    stain: StainReference  # what the tiles are normalised to
    reference: str  # name of the image that it was taken from
    slides: tuple[CorpusSlide, ...]
    train: Ranges
    validation: Ranges


@dataclass(frozen=True)
class Corpus:
    """A finished corpus; `tiles` is a read-only memory map."""

    folder: Path
    record: CorpusRecord
    tiles: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open what `build_corpus` left in `folder`.

        Raises:
            BadArtefact: it is incomplete or damaged.
        """
        try:
            record = CorpusRecord.model_validate_json((folder / RECORD).read_text())
            tiles = np.load(folder / TILES, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, ValidationError):
            raise BadArtefact(f"{folder} holds no complete corpus; delete it and build it again.") from None
        side, count = record.settings.image_px, sum(slide.count for slide in record.slides)
        if tiles.dtype != np.uint8 or tiles.shape != (count, side, side, 3):
            raise BadArtefact(f"{folder / TILES} is not what {RECORD} describes; delete the folder and build it again.")
        return cls(folder, record, tiles)

    @property
    def train_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` to train on."""
        return _indices(self.record.train)

    @property
    def validation_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` for the validation loss: slides (or parts of slides) that training never sees."""
        return _indices(self.record.validation)


@dataclass(frozen=True)
class _Surveyed:
    """One image after the first pass."""

    slide: Slide
    sha256: str
    um_per_px: float
    centres: npt.NDArray[np.float64]
    stain: SlideStain


def build_corpus(
    images: Path,
    out: Path,
    *,
    backbone: BackboneConfig,
    um_per_px: float | None = None,
    overlap: float = 0.5,
    min_tissue: float = 0.5,
    stain_method: Method = "macenko",
    reference: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Corpus:
    """Cut, normalise and store the tiles of every image in a folder; an unchanged second call returns at once.

    Args:
        images: folder of JPEG, PNG or TIFF images; other files in it are ignored.
        out: folder for the corpus.
        backbone: gives the tile's size in pixels and in micrometres.
        um_per_px: scale of all images, micrometres per pixel; None takes it from the TIFF tags.
        overlap: fraction of its side that a tile shares with the next.
        min_tissue: fraction of a tile that must be tissue.
        stain_method: how stain vectors are found.
        reference: image whose stain the tiles get; None takes a typical one with clear stains.
        seed: of the stain samples and of the choice of validation slides.
        progress: where to say how far it is.

    Raises:
        BadInput: the folder has no images, some image cannot be used, or nowhere is there enough tissue.
    """
    progress = progress or Silent()
    paths = _find_images(images)
    digests = [_sha256(path) for path in paths]
    settings = CorpusSettings(
        image_px=backbone.image_px,
        patch_um=backbone.patch_um,
        um_per_px=um_per_px,
        overlap=overlap,
        min_tissue=min_tissue,
        stain_method=stain_method,
        reference_sha256=None if reference is None else _sha256(reference),
        seed=seed,
    )
    fingerprint = _fingerprint(paths, digests, settings)
    if _is_finished(out, fingerprint):
        return Corpus.open(out)
    surveyed = _survey(paths, digests, settings, progress)
    name, stain = _choose_reference(surveyed) if reference is None else _given_reference(reference, settings)
    train, validation = _split(surveyed, settings)
    (out / RECORD).unlink(missing_ok=True)  # from here on the old tiles do not count
    _write_tiles(out / TILES, surveyed, stain, settings, progress)
    record = CorpusRecord(
        fingerprint=fingerprint,
        settings=settings,
        stain=stain,
        reference=name,
        slides=_slides(surveyed),
        train=train,
        validation=validation,
    )
    atomic.write_text(out / RECORD, record.model_dump_json(indent=1))
    return Corpus.open(out)


def _find_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give the folder that holds the H&E images.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise BadInput(f"{folder} holds no image; put {', '.join(IMAGE_SUFFIXES)} files of H&E sections there.")
    return paths


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise BadInput(f"There is no image {path}.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(paths: Sequence[Path], digests: Sequence[str], settings: CorpusSettings) -> str:
    inputs = [[path.name, digest] for path, digest in zip(paths, digests, strict=True)]
    return hashlib.sha256(json.dumps([inputs, settings.model_dump()], sort_keys=True).encode()).hexdigest()


def _is_finished(out: Path, fingerprint: str) -> bool:
    """Say whether `out` holds this very corpus; anything else there is rebuilt."""
    try:
        return Corpus.open(out).record.fingerprint == fingerprint
    except BadArtefact:
        return False


def _survey(paths: Sequence[Path], digests: Sequence[str], settings: CorpusSettings, progress: Progress) -> list[_Surveyed]:
    """Look at every image once; all that is wrong is said together, so that a large folder is mended in one go."""
    found, problems = [], []
    progress.start("surveying images", len(paths))
    for path, digest in zip(paths, digests, strict=True):
        try:
            found.append(_survey_one(Slide(path), digest, settings))
        except BadInput as error:
            problems.append(str(error))
        progress.advance(1, path.name)
    if len(problems) == 1:
        raise BadInput(problems[0])
    if problems:
        more = f" (and {len(problems) - ERRORS_SHOWN} more)" if len(problems) > ERRORS_SHOWN else ""
        raise BadInput(f"{len(problems)} of {len(paths)} images cannot be used: {' '.join(problems[:ERRORS_SHOWN])}{more}")
    if not any(len(slide.centres) for slide in found):
        raise BadInput(
            f"No tile of {settings.patch_um:g} um in {paths[0].parent} shows {settings.min_tissue:.0%} tissue; lower "
            "--min-tissue or check --um-per-px."
        )
    return found


def _survey_one(slide: Slide, digest: str, settings: CorpusSettings) -> _Surveyed:
    scale = settings.um_per_px or slide.um_per_px
    if scale is None:
        raise BadInput(f"{slide.path} does not say how large its pixels are; pass --um-per-px.")
    check_h_and_e(slide)
    centres = tile_positions(slide, scale, settings.patch_um, settings.overlap, settings.min_tissue)
    stain = _fit(slide, settings)
    return _Surveyed(Slide(slide.path), digest, scale, centres, stain)  # a new Slide: the pixels are let go


def _fit(slide: Slide, settings: CorpusSettings) -> SlideStain:
    try:
        return fit_slide(slide.pixels, settings.stain_method, seed=settings.seed)
    except BadInput as error:
        raise BadInput(f"{slide.path}: {error}") from None


def _given_reference(path: Path, settings: CorpusSettings) -> tuple[str, StainReference]:
    slide = Slide(path)
    check_h_and_e(slide)
    return path.name, reference_from(_fit(slide, settings))


def _choose_reference(surveyed: Sequence[_Surveyed]) -> tuple[str, StainReference]:
    """Take the most typical slide (the medoid) among the quarter whose stains are nearest to the textbook's.

    A reference whose haematoxylin and eosin nearly coincide would make every slide as colourless.
    """
    matrices = np.array([slide.stain.matrix for slide in surveyed])
    likeness = np.einsum("nsc,sc->n", matrices, np.array(TEXTBOOK_STAINS))
    best = np.argsort(-likeness, kind="stable")[: -(-len(surveyed) // 4)]
    strengths = np.array([surveyed[index].stain.max_concentration for index in best])
    colours = (matrices[best] * strengths[:, :, None]).reshape(len(best), -1)
    distances = [float(np.linalg.norm(colours - colour, axis=1).sum()) for colour in colours]
    chosen = surveyed[best[int(np.argmin(distances))]]
    return chosen.slide.path.name, reference_from(chosen.stain)


def _split(surveyed: Sequence[_Surveyed], settings: CorpusSettings) -> tuple[Ranges, Ranges]:
    """Hold whole slides out for validation or, with one or two slides, the lowest rows of each."""
    counts = [len(slide.centres) for slide in surveyed]
    firsts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    filled = [index for index, count in enumerate(counts) if count]
    if len(filled) >= MIN_SLIDES_TO_HOLD_OUT:
        how_many = max(round(VALIDATION_FRACTION * len(filled)), 1)
        held_out = set(np.random.default_rng(settings.seed).permutation(filled)[:how_many].tolist())
        whole = {index: (int(firsts[index]), int(firsts[index]) + counts[index]) for index in filled}
        train = tuple(whole[index] for index in filled if index not in held_out)
        return train, tuple(whole[index] for index in filled if index in held_out)
    parts = [_split_rows(surveyed[index], int(firsts[index]), settings) for index in filled]
    return tuple(part[0] for part in parts), tuple(part[1] for part in parts)


def _split_rows(slide: _Surveyed, first: int, settings: CorpusSettings) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ranges of training and validation tiles of one slide; tiles that overlap both are in neither."""
    rows = slide.centres[:, 1]
    start = int(np.searchsorted(rows, rows[int(len(rows) * (1 - VALIDATION_FRACTION))]))
    apart = int(np.searchsorted(rows, rows[start] - settings.patch_um / slide.um_per_px + 0.5))
    if apart == 0:
        raise BadInput(f"{slide.slide.path} gives only {len(rows)} tiles, too few to hold some out for validation; add images.")
    return (first, first + apart), (first + start, first + len(rows))


def _write_tiles(
    path: Path, surveyed: Sequence[_Surveyed], stain: StainReference, settings: CorpusSettings, progress: Progress
) -> None:
    total, side = sum(len(slide.centres) for slide in surveyed), settings.image_px
    progress.start("cutting tiles", total)
    header = {"descr": "|u1", "fortran_order": False, "shape": (total, side, side, 3)}
    # Plain appending, not a writable memory map: its dirty pages would count as this process's memory.
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for slide in surveyed:
            _append_slide(file, slide, stain, side, settings.patch_um / slide.um_per_px, progress)


def _append_slide(
    file: BinaryIO, surveyed: _Surveyed, stain: StainReference, image_px: int, side: float, progress: Progress
) -> None:
    slide = Slide(surveyed.slide.path)
    for start in range(0, len(surveyed.centres), WRITE_BATCH):
        centres = surveyed.centres[start : start + WRITE_BATCH]
        tiles = np.stack([slide.read_square(float(x), float(y), side, image_px) for x, y in centres])
        file.write(normalise(tiles, surveyed.stain, stain).tobytes())
        progress.advance(len(tiles), slide.path.name)


def _slides(surveyed: Sequence[_Surveyed]) -> tuple[CorpusSlide, ...]:
    first, slides = 0, []
    for item in surveyed:
        count = len(item.centres)
        name = item.slide.path.name
        slides.append(
            CorpusSlide(name=name, sha256=item.sha256, um_per_px=item.um_per_px, first=first, count=count, stain=item.stain)
        )
        first += count
    return tuple(slides)


def _indices(ranges: Ranges) -> npt.NDArray[np.int64]:
    return np.concatenate([np.arange(first, stop, dtype=np.int64) for first, stop in ranges])
