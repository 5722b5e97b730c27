"""Stain normalisation: every slide looks as if it were the release's reference slide.

A slide is fitted once (`fit_slide`), on a bounded sample of its tissue: the colour of its empty glass, the optical
density vectors of haematoxylin and eosin, and how strong each stain gets. Its patches then move to the reference by one
small matrix product per pixel (`normalise`). The stain vectors come from staintools (Macenko et al. 2009, Vahadane et
al. 2016); the concentrations are those of staintools' lasso, which for two stains has the closed form used here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from c2lst_shared.errors import BadInput
from c2lst_shared.images.array_picture import ArrayPicture
from c2lst_shared.images.pixels import MAX_PIXELS, Pixels
from c2lst_shared.images.slide import Picture
from c2lst_shared.images.tissue import background_colour, optical_density, small_copy, takes_stain, tissue_mask
from c2lst_shared.presets import Config
from c2lst_shared.release.manifest import StainReference

Method = Literal["macenko", "vahadane"]
Row = tuple[float, float, float]

SAMPLE = 500_000  # tissue pixels that a slide is fitted on
MIN_SAMPLE = 1_000  # fewer tissue pixels than this describe no stain
MASK_SIDE = 640  # the tissue mask for the sample is about this many pixels wide
LASSO = 0.01  # staintools' penalty on concentrations: what is this faint is background
BLOCK = 1024  # side of the squares that the sample is read in, px
STACK_PIXELS = 8_000_000  # looked at when patches are given instead of a slide
STRENGTH_PERCENTILE = 95
MIN_ANGLE = 4.0  # degrees between the two stain vectors; less means one colour only
VAHADANE_SAMPLE = 100_000
VAHADANE_ITERATIONS = 200  # many more pull the two vectors together
TEXTBOOK_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11))  # haematoxylin, eosin: Ruifrok and Johnston 2001
CHUNK = 1 << 22  # pixels normalised at a time: bounds memory at about 200 MB


class SlideStain(Config):
    """How one slide is stained and lit: all that `normalise` needs to know of it."""

    method: Method
    white: Row  # red, green, blue of the empty glass, 1..255
    matrix: tuple[Row, Row]  # unit optical-density vectors of haematoxylin and eosin
    max_concentration: tuple[float, float] = Field(description="see `_strengths`")


def fit_slide(slide: Picture | Pixels, method: Method = "macenko", *, seed: int = 0) -> SlideStain:
    """Fit the stain of one slide on a random sample of its tissue.

    Args:
        slide: the slide, or its pixels, height x width x 3, or its patches, N x height x width x 3.
        method: how the stain vectors are found.
        seed: of the sample; the same seed gives the same fit.

    Raises:
        BadInput: there is too little tissue, or it does not carry two stains.
    """
    white, sample = _tissue_sample(_as_picture(slide), np.random.default_rng(seed))
    # The extractors expect a picture lit by pure white, so the lamp is divided out first.
    lit = np.clip(np.rint(sample / white * 255.0), 0, 255).astype(np.uint8)
    matrix = _stain_matrix(lit[None], method)
    concentrations = _concentrations(optical_density(sample, white), matrix)
    strongest = _strengths(concentrations)
    if strongest.min() < 0.05:
        raise BadInput("The tissue carries only one of the two stains; use an image stained with haematoxylin and eosin.")
    return SlideStain(
        method=method,
        white=_row(white),
        matrix=(_row(matrix[0]), _row(matrix[1])),
        max_concentration=(float(strongest[0]), float(strongest[1])),
    )


def reference_from(stain: SlideStain) -> StainReference:
    """Make the stain of a slide the target that others are normalised to; its lamp is left behind."""
    return StainReference(method=stain.method, matrix=stain.matrix, max_concentration=stain.max_concentration)


def normalise(patches: Pixels, stain: SlideStain, reference: StainReference) -> Pixels:
    """Give patches of a slide the colours of the reference slide, on a white background.

    Args:
        patches: N x height x width x 3 of the slide that `stain` was fitted on.
        stain: of that slide.
        reference: the release's.

    Returns:
        A new array of the same shape.
    """
    source = np.array(stain.matrix, dtype=np.float32)
    scale = np.array(reference.max_concentration) / np.array(stain.max_concentration)
    target = (scale[:, None] * np.array(reference.matrix)).astype(np.float32)
    result = np.empty_like(patches)
    flat, out = patches.reshape(-1, 3), result.reshape(-1, 3)
    for start in range(0, len(flat), CHUNK):
        density = optical_density(flat[start : start + CHUNK], np.array(stain.white))
        transmitted = np.exp(-(_concentrations(density, source) @ target))
        out[start : start + CHUNK] = np.rint(255.0 * transmitted)
    return result


def _as_picture(slide: Picture | Pixels) -> Picture:
    """Lay a stack of patches out as one tall picture; of a large stack, every so many."""
    if not isinstance(slide, np.ndarray):
        return slide
    if slide.ndim == 4:
        slide = slide[:: -(-slide.size // (3 * STACK_PIXELS))]
    return ArrayPicture(slide.reshape(-1, slide.shape[-2], 3), Path("pixels in memory"))


def _tissue_sample(picture: Picture, generator: np.random.Generator) -> tuple[npt.NDArray[np.float64], Pixels]:
    """Return the colour of the glass and at most `SAMPLE` random pixels of the tissue, n x 3."""
    width, height = picture.size
    small, factor = small_copy(picture, width, MASK_SIDE)
    white = background_colour(small)
    cells = _within_few_blocks(np.argwhere(tissue_mask(small, white)) * factor, picture, generator)
    available = len(cells) * factor * factor
    if available < MIN_SAMPLE:
        raise BadInput("There is hardly any tissue in the image; use an H&E image that shows tissue.")
    count = min(SAMPLE, int(available))
    # Edges of folds and bubbles that lie within the mask would pull the stain vectors away.
    within = generator.integers(len(cells), size=count), generator.integers(max(int(factor), 1), size=(count, 2))
    chosen = np.minimum(cells[within[0]].astype(np.int64) + within[1], (height - 1, width - 1))
    sample = _pixels_at(picture, chosen)
    return white, sample[takes_stain(optical_density(sample, white))]


def _within_few_blocks(
    cells: npt.NDArray[np.floating], picture: Picture, generator: np.random.Generator
) -> npt.NDArray[np.floating]:
    """Of a picture larger than is ever decoded whole, keep the cells of random blocks: no more is read of it than of one."""
    width, height = picture.size
    if width * height <= MAX_PIXELS or not len(cells):
        return cells
    _, block_of = np.unique(cells // BLOCK, axis=0, return_inverse=True)
    order = generator.permutation(int(block_of.max()) + 1)
    return cells[np.isin(block_of.ravel(), order[: MAX_PIXELS // BLOCK**2])]


def _pixels_at(picture: Picture, places: npt.NDArray[np.int64]) -> Pixels:
    """Return the pixels at `places`, n x 2 (row, column), as n x 3, reading the picture block by block."""
    found = np.empty((len(places), 3), np.uint8)
    blocks, block_of = np.unique(places // BLOCK, axis=0, return_inverse=True)
    by_block = np.split(np.argsort(block_of.ravel(), kind="stable"), np.cumsum(np.bincount(block_of.ravel()))[:-1])
    for (row, column), members in zip(blocks * BLOCK, by_block, strict=True):
        square = picture.read_square(column + BLOCK / 2, row + BLOCK / 2, BLOCK, BLOCK)
        found[members] = square[places[members, 0] - row, places[members, 1] - column]
    return found


def _stain_matrix(image: Pixels, method: Method) -> npt.NDArray[np.float32]:
    """Return the unit stain vectors of a picture lit by pure white, haematoxylin first: it absorbs more of the red."""
    from staintools.miscellaneous.exceptions import TissueMaskException

    try:
        matrix = np.maximum(_macenko(image) if method == "macenko" else _vahadane(image), 0.0)
    except TissueMaskException:
        raise BadInput("The image is too pale to find its stains; use an H&E image that shows tissue.") from None
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    # Written so that NaN, which one-coloured images give, is refused too.
    if not (lengths.min() > 0 and np.prod(lengths) * np.cos(np.radians(MIN_ANGLE)) > matrix[0] @ matrix[1]):
        raise BadInput("The image has no two stains that can be told apart; use an image stained with H&E.")
    matrix /= lengths
    return (matrix if matrix[0, 0] >= matrix[1, 0] else matrix[::-1]).astype(np.float32)


def _macenko(image: Pixels) -> npt.NDArray[np.float64]:
    from staintools.stain_extraction.macenko_stain_extractor import MacenkoStainExtractor

    return np.asarray(MacenkoStainExtractor.get_stain_matrix(image), dtype=np.float64)


def _vahadane(image: Pixels) -> npt.NDArray[np.float64]:
    """Learn the stain vectors as staintools does, but from a fixed start and for a fixed number of iterations.

    Its own extractor stops spams after one second of wall time, so that two runs on one slide disagree.
    """
    import spams
    from staintools.tissue_masks.luminosity_threshold_tissue_locator import LuminosityThresholdTissueLocator

    tissue = LuminosityThresholdTissueLocator.get_tissue_mask(image)
    density = optical_density(image[tissue][:VAHADANE_SAMPLE], np.full(3, 255.0))
    learned = spams.trainDL(
        X=np.asfortranarray(density.T, dtype=np.float64),
        D=np.asfortranarray(np.array(TEXTBOOK_STAINS).T),
        lambda1=0.1,
        mode=2,
        modeD=0,
        posAlpha=True,
        posD=True,
        iter=VAHADANE_ITERATIONS,
        numThreads=1,
        verbose=False,
    )
    return np.asarray(learned.T, dtype=np.float64)


def _concentrations(density: npt.NDArray[np.float32], matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return n x 2 concentrations: argmin 0.5 |density - c matrix|^2 + LASSO |c|, c >= 0, exactly.

    With two unit vectors at less than a right angle, either both are positive and the 2 x 2 system gives them, or the
    one that it makes negative is zero and the other is its own projection.
    """
    projections = density @ matrix.T - np.float32(LASSO)
    solved = projections @ np.linalg.inv(matrix @ matrix.T)
    alone = np.where(solved[:, ::-1] < 0, projections, solved)
    concentrations: npt.NDArray[np.float32] = np.where(solved < 0, 0, np.maximum(alone, 0)).astype(np.float32)
    return concentrations


def _strengths(concentrations: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return how strong haematoxylin and eosin get, the two numbers that slides are matched by.

    Eosin is measured where there is little haematoxylin. Over all tissue, as in staintools, its highest values lie in
    the darkest nuclei and say more about the error of the stain vectors than about the eosin.
    """
    haematoxylin, eosin = concentrations[:, 0], concentrations[:, 1]
    pale = eosin[haematoxylin <= np.median(haematoxylin)]
    return np.array([np.percentile(haematoxylin, STRENGTH_PERCENTILE), np.percentile(pale, STRENGTH_PERCENTILE)])


def _row(values: npt.NDArray[np.floating]) -> Row:
    return float(values[0]), float(values[1]), float(values[2])
