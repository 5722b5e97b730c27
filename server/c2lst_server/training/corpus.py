"""The central corpus: a folder of H&E images becomes stain-normalised tiles on disk, split into training and validation.

OUT/  tiles.npy    uint8, N x image_px x image_px x 3: slide after slide, each slide row by row
      corpus.json  what they are: `CorpusRecord`

Two passes over the images keep memory independent of the number of tiles: the first (`survey.py`) finds tiles and stains,
the second cuts, normalises and appends to the file. `corpus.json` is written last; without it the tiles do not count.
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

from c2lst_server.training.survey import (
    CorpusSettings,
    Surveyed,
    find_images,
    stain_of_image,
    survey,
    typical_slide,
)
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.digest import image_digest
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import Method, SlideStain, normalise, reference_from
from c2lst_shared.presets import BackboneConfig, Config
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import StainReference

TILES = "tiles.npy"
RECORD = "corpus.json"
FORMAT: Literal[1] = 1  # raised when the same images and settings would give other tiles
VALIDATION_FRACTION = 0.1
MIN_SLIDES_TO_HOLD_OUT = 3  # with fewer slides, the bottom of each is held out instead of a whole one
WRITE_BATCH = 64  # tiles normalised and written at a time

Range = tuple[int, int]  # tile indices, the end not included


class CorpusSlide(Config):
    """One image of the corpus and the range of tiles cut from it."""

    name: str
    sha256: str
    um_per_px: float
    first: int
    count: int
    stain: SlideStain


class CorpusRecord(Config):
    """What is in `tiles.npy`, and from what it was made."""

    format: Literal[1] = FORMAT
    fingerprint: str  # over format, settings, and the images' names and contents
    settings: CorpusSettings
    stain: StainReference  # what the tiles are normalised to
    reference: str  # name of the image that it was taken from
    slides: tuple[CorpusSlide, ...]
    train: tuple[Range, ...]
    validation: tuple[Range, ...]


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
            raise BadArtefact(f"{folder / TILES} is not what {RECORD} describes; delete {folder} and build it again.")
        return cls(folder, record, tiles)

    @property
    def train_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` to train on."""
        return _indices(self.record.train)

    @property
    def validation_indices(self) -> npt.NDArray[np.int64]:
        """Rows of `tiles` for the validation loss: slides, or parts of slides, that training never sees."""
        return _indices(self.record.validation)


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
        images: folder of images: JPEG, PNG, TIFF or whole-slide formats; other files in it are ignored.
        out: folder for the corpus.
        backbone: gives the tile's size in pixels and in micrometres.
        um_per_px: scale of all images, micrometres per pixel; None takes it from each image's own tags.
        overlap: fraction of its side that a tile shares with the next, from 0 up to but without 1.
        min_tissue: fraction of a tile that must be tissue, from 0 to 1.
        stain_method: how stain vectors are found.
        reference: image whose stain the tiles get; None takes a typical one with clear stains.
        seed: of the stain samples and of the choice of validation slides.
        progress: where to say how far it is.

    Raises:
        BadInput: a number is out of range, the folder has no images, some image cannot be used, or nowhere is there
            enough tissue.
    """
    _check_numbers(um_per_px, overlap, min_tissue)
    progress = progress or Silent()
    paths = find_images(images)
    digests = [image_digest(path) for path in paths]
    settings = CorpusSettings(
        image_px=backbone.image_px,
        patch_um=backbone.patch_um,
        um_per_px=um_per_px,
        overlap=overlap,
        min_tissue=min_tissue,
        stain_method=stain_method,
        reference_sha256=None if reference is None else image_digest(reference),
        seed=seed,
    )
    fingerprint = _fingerprint(paths, digests, settings)
    if not _is_finished(out, fingerprint):
        surveyed = survey(paths, digests, settings, progress)
        _build(out, fingerprint, surveyed, settings, reference, progress)
    return Corpus.open(out)


def _check_numbers(um_per_px: float | None, overlap: float, min_tissue: float) -> None:
    if um_per_px is not None and not 0 < um_per_px < float("inf"):
        raise BadInput(f"A scale of {um_per_px} um per pixel is impossible; pass a positive --um-per-px.")
    if not 0 <= overlap <= 0.95:
        raise BadInput(f"An overlap of {overlap} is not possible; choose one from 0 to 0.95.")
    if not 0 <= min_tissue <= 1:
        raise BadInput(f"A least tissue fraction of {min_tissue} is not possible; choose one from 0 to 1.")


def _fingerprint(paths: Sequence[Path], digests: Sequence[str], settings: CorpusSettings) -> str:
    inputs = [[path.name, digest] for path, digest in zip(paths, digests, strict=True)]
    return hashlib.sha256(json.dumps([FORMAT, settings.model_dump(), inputs], sort_keys=True).encode()).hexdigest()


def _is_finished(out: Path, fingerprint: str) -> bool:
    """Say whether `out` holds this very corpus; anything else there is rebuilt."""
    try:
        return Corpus.open(out).record.fingerprint == fingerprint
    except BadArtefact:
        return False


def _build(
    out: Path,
    fingerprint: str,
    surveyed: Sequence[Surveyed],
    settings: CorpusSettings,
    reference: Path | None,
    progress: Progress,
) -> None:
    """Write the tiles, then the record."""
    typical = typical_slide(surveyed)
    stain = reference_from(typical.stain) if reference is None else stain_of_image(reference, settings)
    train, validation = _split(surveyed, settings)
    (out / RECORD).unlink(missing_ok=True)  # from here on, tiles of an earlier build do not count
    _write_tiles(out / TILES, surveyed, stain, settings, progress)
    record = CorpusRecord(
        fingerprint=fingerprint,
        settings=settings,
        stain=stain,
        reference=(reference or typical.path).name,
        slides=_slides(surveyed),
        train=train,
        validation=validation,
    )
    atomic.write_text(out / RECORD, record.model_dump_json(indent=1))


def _split(surveyed: Sequence[Surveyed], settings: CorpusSettings) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Hold whole slides out for validation or, with one or two slides, the lowest rows of each."""
    stops = np.cumsum([len(slide.centres) for slide in surveyed]).tolist()
    whole = {index: (stop - len(surveyed[index].centres), stop) for index, stop in enumerate(stops)}
    filled = [index for index, (first, stop) in whole.items() if stop > first]
    if len(filled) >= MIN_SLIDES_TO_HOLD_OUT:
        how_many = max(round(VALIDATION_FRACTION * len(filled)), 1)
        held_out = set(np.random.default_rng(settings.seed).permutation(filled)[:how_many].tolist())
        train = tuple(whole[index] for index in filled if index not in held_out)
        return train, tuple(whole[index] for index in filled if index in held_out)
    parts = [_split_rows(surveyed[index], whole[index][0], settings) for index in filled]
    return tuple(part[0] for part in parts), tuple(part[1] for part in parts)


def _split_rows(slide: Surveyed, first: int, settings: CorpusSettings) -> tuple[Range, Range]:
    """Return the ranges of training and validation tiles of one slide; tiles that would overlap both are in neither."""
    rows = slide.centres[:, 1]
    start = int(np.searchsorted(rows, rows[int(len(rows) * (1 - VALIDATION_FRACTION))]))
    apart = int(np.searchsorted(rows, rows[start] - settings.patch_um / slide.um_per_px + 0.5))
    if apart == 0:
        raise BadInput(f"{slide.path} gives only {len(rows)} tiles, too few to hold some out for validation; add images.")
    return (first, first + apart), (first + start, first + len(rows))


def _write_tiles(
    path: Path, surveyed: Sequence[Surveyed], stain: StainReference, settings: CorpusSettings, progress: Progress
) -> None:
    total, side = sum(len(slide.centres) for slide in surveyed), settings.image_px
    progress.start("cutting tiles", total)
    header = {"descr": "|u1", "fortran_order": False, "shape": (total, side, side, 3)}
    # Plain appending, not a writable memory map: dirty pages would count as this process's memory.
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for slide in surveyed:
            _append_slide(file, slide, stain, settings, progress)


def _append_slide(
    file: BinaryIO, surveyed: Surveyed, stain: StainReference, settings: CorpusSettings, progress: Progress
) -> None:
    slide, side = Slide(surveyed.path), settings.patch_um / surveyed.um_per_px
    for start in range(0, len(surveyed.centres), WRITE_BATCH):
        centres = surveyed.centres[start : start + WRITE_BATCH]
        tiles = np.stack([slide.read_square(float(x), float(y), side, settings.image_px) for x, y in centres])
        file.write(normalise(tiles, surveyed.stain, stain).tobytes())
        progress.advance(len(tiles), surveyed.path.name)


def _slides(surveyed: Sequence[Surveyed]) -> tuple[CorpusSlide, ...]:
    first, slides = 0, []
    for slide in surveyed:
        slides.append(
            CorpusSlide(
                name=slide.path.name,
                sha256=slide.sha256,
                um_per_px=slide.um_per_px,
                first=first,
                count=len(slide.centres),
                stain=slide.stain,
            )
        )
        first += len(slide.centres)
    return tuple(slides)


def _indices(ranges: Sequence[Range]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.arange(first, stop, dtype=np.int64) for first, stop in ranges])
