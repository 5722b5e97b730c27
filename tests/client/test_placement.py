"""Positions that do not fit the image are refused with the mistake that explains them; the slide here is a corner of tissue."""

import numpy as np
import pytest
from fakes.real_data import DATA, needs_data
from fakes.small_site import SmallSite, grid_centres, h_and_e
from PIL import Image

from c2lst_client.spots.placement import fitting_scale, refuse_off_tissue, refuse_outside
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide

WIDTH, HEIGHT = 1300, 1000
SHIFT = np.array(
    [650.0, 20.0]
)  # where the tissue of `h_and_e` lies on the slide: at the upper right, so that nothing is symmetric
CENTRES = grid_centres() + SHIFT
BARCODES = SmallSite().barcodes


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    pixels = np.full((HEIGHT, WIDTH, 3), 243, np.uint8)
    pixels[20:620, 650:1250] = h_and_e()
    path = tmp_path_factory.mktemp("slide") / "s.png"
    Image.fromarray(pixels).save(path, compress_level=1)
    return Slide(path)


def test_positions_that_fit_pass_without_a_word(slide):
    notes = []
    refuse_outside(CENTRES, BARCODES, slide)
    refuse_off_tissue(CENTRES, slide, notes)
    assert notes == []


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        (np.array([WIDTH, 0]) + CENTRES * (-1, 1), "with x mirrored 100% would: replace x by the image's width minus x"),
        (np.array([0, HEIGHT]) + CENTRES * (1, -1), "with y mirrored 100% would: replace y by the image's height minus y"),
        (np.array([WIDTH, HEIGHT]) - CENTRES, "with both axes mirrored 100% would: turn the image by 180 degrees"),
    ],
    ids=["x", "y", "both"],
)
def test_mirrored_positions_are_refused_with_the_axis(slide, centres, message):
    with pytest.raises(BadInput, match=rf"^Only \d+% of the spots lie on tissue in s.png; {message}\.$"):
        refuse_off_tissue(centres, slide, [])


def test_swapped_positions_inside_the_image_are_refused_with_the_remedy(slide):
    inside = CENTRES[CENTRES[:, 0] < HEIGHT]
    with pytest.raises(BadInput, match=r"of the spots lie on tissue in s.png; with x and y swapped 100% would: exchange"):
        refuse_off_tissue(inside[:, ::-1], slide, [])


def test_swapped_positions_outside_the_image_are_refused_with_the_remedy(slide):
    with pytest.raises(BadInput, match="x and y seem to be swapped: exchange the two columns"):
        refuse_outside(CENTRES[:, ::-1], BARCODES, slide)


def test_half_fitting_positions_are_used_with_a_warning(tmp_path):
    pixels = np.full((640, 900, 3), 243, np.uint8)
    pixels[20:620, 250:850] = h_and_e()
    Image.fromarray(pixels).save(tmp_path / "s.png", compress_level=1)
    notes = []
    refuse_off_tissue(np.array([900, 0]) + (grid_centres() + np.array([250, 20])) * (-1, 1), Slide(tmp_path / "s.png"), notes)
    (warning,) = notes
    assert warning == (
        "Warning: 67% of the spots lie on tissue in s.png; with x mirrored 100% would: replace x by the image's width minus x."
    )


@pytest.mark.parametrize("factor", [5.88, 3.0])
def test_missing_scale_factor_is_named(slide, factor):
    with pytest.raises(BadInput, match=rf"a smaller copy .* or multiply them by about {1 / factor:.2f}\d*, which would fit"):
        refuse_outside(CENTRES * factor, BARCODES, slide)


def test_scale_factor_applied_twice_is_named(slide):
    with pytest.raises(
        BadInput, match=r"^Only 0% .*; multiplied by about 5\.\d+ most would: give the image that the positions"
    ):
        refuse_off_tissue(CENTRES / 5.0, slide, [])


def test_image_of_another_slide_is_refused(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 3), 243, np.uint8)
    pixels[700:900, 10:110] = h_and_e()[200:400, 200:300]
    Image.fromarray(pixels).save(tmp_path / "other.png", compress_level=1)
    with pytest.raises(BadInput, match=r"neither swapping, mirroring nor scaling .* of another slide: give the one that"):
        refuse_off_tissue(CENTRES, Slide(tmp_path / "other.png"), [])


def test_scale_of_one_spot_or_of_no_tissue_is_not_guessed(slide, tmp_path):
    assert fitting_scale(CENTRES[:1] * 9, slide) is None
    Image.new("RGB", (600, 600), "white").save(tmp_path / "white.png")
    assert fitting_scale(CENTRES * 9, Slide(tmp_path / "white.png")) is None


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mob", "her2st"])
def test_real_positions_pass_and_their_mistakes_are_found(name):
    spots = read_spots(DATA / name / "site")
    notes = []
    refuse_off_tissue(spots.centres, spots.slide, notes)
    assert notes == []
    width, height = spots.slide.size
    for mirrored, axis in (((width, 0) + spots.centres * (-1, 1), "x"), ((0, height) + spots.centres * (1, -1), "y")):
        try:
            refuse_off_tissue(mirrored, spots.slide, notes)
            sentence = notes.pop()
        except BadInput as error:
            sentence = str(error)
        assert f"with {axis} mirrored" in sentence
    assert fitting_scale(spots.centres * 5, spots.slide) == pytest.approx(0.2, rel=0.03)
