"""Tiles that are blurred, inked, folded or empty are told from good ones; the same tile saved twice is found."""

import io
from collections import Counter

import numpy as np
import pytest
from fakes.real_data import DATA, needs_data
from fakes.small_site import h_and_e
from PIL import Image
from scipy import ndimage

from c2lst_server.tiles.duplicates import perceptual_hash, repeated
from c2lst_server.tiles.quality import joined, refusals, score
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import fit_slide
from c2lst_shared.images.tiling import tile_positions

WHITE = np.full(3, 243.0)


def tiles(px: int = 64, count: int = 36) -> np.ndarray:
    pixels = h_and_e()
    return np.stack([pixels[y : y + px, x : x + px] for y in range(80, 450, 64) for x in range(80, 450, 64)][:count])


def reasons(changed: np.ndarray, min_tissue: float = 0.5) -> list:
    """Of one changed tile among good ones."""
    return refusals(score(np.concatenate([changed[None], tiles()]), WHITE), min_tissue)


@pytest.mark.parametrize("px", [16, 64, 128])
def test_good_tiles_pass(px):
    found = refusals(score(tiles(px), WHITE), 0.5)
    assert found.count(None) >= 0.97 * len(found)


def test_blurred_tile_is_refused():
    blurred = ndimage.gaussian_filter(tiles()[0].astype(float), (2.5, 2.5, 0)).astype(np.uint8)
    assert reasons(blurred)[0] == "blur"


@pytest.mark.parametrize("ink", [(30, 60, 180), (20, 140, 70), (15, 15, 18)], ids=["blue", "green", "black"])
def test_pen_mark_is_refused(ink):
    marked = tiles()[0].copy()
    marked[20:32] = ink
    assert reasons(marked)[0] == "pen"


def test_fold_is_refused():
    layers = tiles()[0].astype(float) / 243.0
    folded = np.rint(243.0 * (layers**4)).clip(1, 255).astype(np.uint8)
    assert reasons(folded)[0] == "fold"


def test_empty_tile_is_refused_unless_no_tissue_is_asked_for():
    glass = np.random.default_rng(0).normal(243, 1.5, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    assert reasons(glass)[0] == "white"
    assert reasons(glass, min_tissue=0.0)[0] is None


def test_scores_of_batches_are_those_of_all_together():
    parts = joined([score(tiles()[:10], WHITE), score(tiles()[10:], WHITE)])
    np.testing.assert_array_equal(parts.sharpness, score(tiles(), WHITE).sharpness)


def saved_as_jpeg(tile: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def test_tile_saved_again_is_a_repetition_and_its_neighbours_are_not():
    some = tiles()
    again = np.stack([some[3], saved_as_jpeg(some[7], 95)])
    gone = repeated(perceptual_hash(np.concatenate([some, again])))
    assert np.flatnonzero(gone).tolist() == [len(some), len(some) + 1]


def test_many_equal_tiles_leave_one():
    gone = repeated(perceptual_hash(np.repeat(tiles(count=1), 200, axis=0)))
    assert np.flatnonzero(~gone).tolist() == [0]


@needs_data
@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "scale", "px"), [("mob/central/section_09.jpg", 2.75, 64), ("her2st/central/C2.jpg", 0.69, 64)]
)
def test_good_tissue_is_hardly_refused(name, scale, px):
    slide = Slide(DATA / name)
    centres = tile_positions(slide, scale, 176, 0.0, 0.5)[::2]
    cut = np.stack([slide.read_square(x, y, 176 / scale, px) for x, y in centres])
    found = Counter(
        refusals(
            score(cut, np.array(fit_slide(slide.overview(4096)[0] if hasattr(slide, "overview") else slide.pixels).white)), 0.0
        )
    )
    assert found[None] >= 0.98 * len(cut)
