"""The first pass over the images of a corpus: which can be used, where their tiles lie, how they are stained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES, Slide
from c2lst_shared.images.stain import TEXTBOOK_STAINS, Method, SlideStain, fit_slide, reference_from
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import check_h_and_e
from c2lst_shared.presets import Config
from c2lst_shared.progress import Progress
from c2lst_shared.release.manifest import StainReference

ERRORS_SHOWN = 5


class CorpusSettings(Config):
    """What, beside the images, decides which tiles a corpus holds."""

    image_px: int
    patch_um: float
    um_per_px: float | None  # of all images; None: as each says
    overlap: float
    min_tissue: float
    stain_method: Method
    reference_sha256: str | None  # of the image that gives the stain; None: chosen among the slides
    seed: int


@dataclass(frozen=True)
class Surveyed:
    """One image after the first pass; its pixels are not kept."""

    path: Path
    sha256: str
    um_per_px: float
    centres: npt.NDArray[np.float64]  # N x 2: x, y of the tiles, in pixels
    stain: SlideStain


def find_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name.

    Raises:
        BadInput: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give the folder that holds the H&E images.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not paths:
        raise BadInput(f"{folder} holds no image; put {', '.join(IMAGE_SUFFIXES)} files of H&E sections there.")
    return paths


def survey(paths: Sequence[Path], digests: Sequence[str], settings: CorpusSettings, progress: Progress) -> list[Surveyed]:
    """Look at every image once; all that is wrong is said together, so that a large folder is mended in one go.

    Raises:
        BadInput: an image cannot be used, or none shows enough tissue for a tile.
    """
    found, problems = [], []
    progress.start("surveying images", len(paths))
    for path, digest in zip(paths, digests, strict=True):
        try:
            found.append(_survey_one(path, digest, settings))
        except BadInput as error:
            problems.append(str(error))
        progress.advance(1, path.name)
    _refuse(problems, len(paths))
    if not any(len(slide.centres) for slide in found):
        raise BadInput(
            f"No tile of {settings.patch_um:g} um in {paths[0].parent} shows {settings.min_tissue:.0%} tissue; lower "
            "--min-tissue or check --um-per-px."
        )
    return found


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
    matrices = np.array([slide.stain.matrix for slide in surveyed])
    likeness = np.einsum("nsc,sc->n", matrices, np.array(TEXTBOOK_STAINS))
    best = np.argsort(-likeness, kind="stable")[: -(-len(surveyed) // 4)]
    strengths = np.array([surveyed[index].stain.max_concentration for index in best])
    colours = (matrices[best] * strengths[:, :, None]).reshape(len(best), -1)
    distances = [float(np.linalg.norm(colours - colour, axis=1).sum()) for colour in colours]
    return surveyed[best[int(np.argmin(distances))]]


def _survey_one(path: Path, digest: str, settings: CorpusSettings) -> Surveyed:
    slide = Slide(path)
    scale = settings.um_per_px or slide.um_per_px
    if scale is None:
        raise BadInput(f"{path} does not say how large its pixels are; pass --um-per-px.")
    check_h_and_e(slide)
    centres = tile_positions(slide, scale, settings.patch_um, settings.overlap, settings.min_tissue)
    return Surveyed(path, digest, scale, centres, _fit(slide, settings))


def _fit(slide: Slide, settings: CorpusSettings) -> SlideStain:
    try:
        return fit_slide(slide, settings.stain_method, seed=settings.seed)
    except BadInput as error:
        raise BadInput(f"{slide.path}: {error}") from None


def _refuse(problems: Sequence[str], images: int) -> None:
    if len(problems) == 1:
        raise BadInput(problems[0])
    if problems:
        more = f" (and {len(problems) - ERRORS_SHOWN} more)" if len(problems) > ERRORS_SHOWN else ""
        raise BadInput(f"{len(problems)} of {images} images cannot be used: {' '.join(problems[:ERRORS_SHOWN])}{more}")
