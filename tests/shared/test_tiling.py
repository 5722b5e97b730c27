"""Tiles lie on a regular grid, wholly inside the slide and on tissue."""

from pathlib import Path

import numpy as np
import pytest
from fakes.small_site import h_and_e
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.tiling import tile_positions

UM_PER_PX = 2.75
PATCH_UM = 176.0  # 64 px


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    path = tmp_path_factory.mktemp("tiling") / "slide.png"
    Image.fromarray(h_and_e()).save(path)
    return Slide(path)


def test_tiles_are_a_grid_row_by_row(slide: Slide) -> None:
    centres = tile_positions(slide, UM_PER_PX, PATCH_UM, 0.5, 0.0)
    ticks = np.arange(32, 600 - 32 + 1, 32)
    np.testing.assert_array_equal(centres, [(x, y) for y in ticks for x in ticks])


@settings(max_examples=25, deadline=None)
@given(patch_um=st.floats(60, 1500), overlap=st.floats(0, 0.8), min_tissue=st.floats(0, 1))
def test_tiles_lie_inside_and_more_tissue_means_fewer(slide: Slide, patch_um: float, overlap: float, min_tissue: float) -> None:
    half = patch_um / UM_PER_PX / 2
    every = tile_positions(slide, UM_PER_PX, patch_um, overlap, 0.0)
    some = tile_positions(slide, UM_PER_PX, patch_um, overlap, min_tissue)
    assert len(every) > 0
    assert every.min() >= half - 1e-6
    assert every.max() <= 600 - half + 1e-6
    assert {tuple(centre) for centre in some} <= {tuple(centre) for centre in every}


def test_only_tiles_with_enough_tissue_are_kept(slide: Slide) -> None:
    rows, columns = np.mgrid[:600, :600]
    inside = ((np.abs(rows - 300) / 285.0) ** 4 + (np.abs(columns - 300) / 285.0) ** 4) < 1
    every = tile_positions(slide, UM_PER_PX, PATCH_UM, 0.5, 0.0)
    kept = {tuple(centre) for centre in tile_positions(slide, UM_PER_PX, PATCH_UM, 0.5, 0.6)}
    for x, y in every:
        fraction = inside[int(y) - 32 : int(y) + 32, int(x) - 32 : int(x) + 32].mean()
        if fraction > 0.7:
            assert (x, y) in kept
        if fraction < 0.5:
            assert (x, y) not in kept


def test_blank_slide_has_no_tiles(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "white").save(tmp_path / "blank.png")
    assert tile_positions(Slide(tmp_path / "blank.png"), UM_PER_PX, PATCH_UM, 0.5, 0.1).shape == (0, 2)


def test_slide_of_exactly_one_tile_gives_one(tmp_path: Path) -> None:
    Image.fromarray(h_and_e()[200:264, 200:264]).save(tmp_path / "one.png")
    centres = tile_positions(Slide(tmp_path / "one.png"), UM_PER_PX, PATCH_UM, 0.5, 0.5)
    assert centres.tolist() == [[32.0, 32.0]]


def test_slide_smaller_than_a_tile_is_refused(tmp_path: Path) -> None:
    Image.fromarray(h_and_e()[:63, :300]).save(tmp_path / "small.png")
    with pytest.raises(BadInput, match=r"300 x 63 pixels, less than one tile of 176 um \(64 pixels at 2\.75 um per pixel\)"):
        tile_positions(Slide(tmp_path / "small.png"), UM_PER_PX, PATCH_UM, 0.5, 0.5)
