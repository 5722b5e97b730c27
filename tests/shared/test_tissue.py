"""Tissue is told from glass, and H&E from what is not, whatever the lamp."""

from pathlib import Path

import numpy as np
import pytest
from fakes.real_data import DATA, needs_data
from fakes.small_site import h_and_e
from PIL import Image

from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import reduced
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.tissue import background_colour, check_h_and_e, tissue_fraction, tissue_mask

LAMPS = {"white": (1.0, 1.0, 1.0), "dim": (0.7, 0.7, 0.7), "pink": (0.98, 0.88, 0.94), "yellow": (0.97, 0.95, 0.86)}


def lit_by(lamp: str) -> np.ndarray:
    return np.rint(h_and_e() * np.array(LAMPS[lamp])).astype(np.uint8)


def inside() -> np.ndarray:
    rows, columns = np.mgrid[:600, :600]
    return ((np.abs(rows - 300) / 285.0) ** 4 + (np.abs(columns - 300) / 285.0) ** 4) < 1


@pytest.mark.parametrize("lamp", LAMPS)
def test_glass_colour_is_found(lamp: str) -> None:
    np.testing.assert_allclose(background_colour(lit_by(lamp)), 243 * np.array(LAMPS[lamp]), atol=4)


def test_field_without_glass_is_taken_as_lit_without_tint() -> None:
    pink = np.random.default_rng(0).normal((190, 120, 160), 10, (50, 50, 3)).clip(0, 255).astype(np.uint8)
    red, green, blue = background_colour(pink)
    assert red == green == blue
    assert 205 < red < 225


@pytest.mark.parametrize("lamp", LAMPS)
def test_mask_is_the_tissue(lamp: str) -> None:
    mask = tissue_mask(reduced(lit_by(lamp), 4))
    assert (mask == reduced(inside().astype(np.uint8) * 255, 4).astype(bool)).mean() > 0.96


@pytest.mark.parametrize("lamp", LAMPS)
def test_field_without_glass_is_tissue_throughout(lamp: str) -> None:
    assert tissue_mask(lit_by(lamp)[150:450, 150:450]).mean() > 0.95


def test_mask_leaves_out_brown_ink_and_gray_shadow() -> None:
    marked = h_and_e().copy()
    marked[5:60, 5:60] = (150, 110, 70)
    marked[540:595, 540:595] = (150, 150, 150)
    mask = tissue_mask(marked)
    assert not mask[10:50, 10:50].any()
    assert not mask[550:590, 550:590].any()


def test_specks_do_not_count() -> None:
    glass = np.full((100, 100, 3), 240, np.uint8)
    glass[20:25, 20:25] = (120, 60, 140)
    glass[60:80, 60:80] = (120, 60, 140)
    mask = tissue_mask(glass)
    assert not mask[:40, :40].any()
    assert mask[65:75, 65:75].all()


def test_fraction_of_each_patch_is_measured_against_the_common_glass() -> None:
    slide = h_and_e()
    patches = np.stack([slide[268:332, 268:332], slide[:64, :64], slide[268:332, :64]])
    full, corner, edge = tissue_fraction(patches)
    assert full > 0.95
    assert corner < 0.35
    assert 0.5 < edge < 0.95


def test_blank_page_has_no_tissue() -> None:
    assert not tissue_mask(np.full((50, 50, 3), 230, np.uint8)).any()


def saved(folder: Path, pixels: np.ndarray) -> Slide:
    Image.fromarray(pixels).save(folder / "image.png")
    return Slide(folder / "image.png")


@pytest.mark.parametrize("lamp", LAMPS)
def test_h_and_e_under_any_lamp_is_accepted(tmp_path: Path, lamp: str) -> None:
    check_h_and_e(saved(tmp_path, lit_by(lamp)))


def landscape() -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = np.empty((300, 300, 3))
    picture[:130] = np.linspace((90, 150, 225), (170, 205, 240), 130)[:, None]
    picture[130:] = (80, 130, 50)
    return (picture + rng.normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)


def sky() -> np.ndarray:
    picture = np.repeat(np.linspace((60, 120, 210), (225, 235, 245), 300)[:, None], 300, axis=1)
    return (picture + np.random.default_rng(0).normal(0, 5, picture.shape)).clip(0, 255).astype(np.uint8)


def fluorescence() -> np.ndarray:
    nuclei = np.clip(195 - h_and_e()[..., 0].astype(int), 0, 255)  # red light is absorbed by nuclei alone
    return np.stack([nuclei * 0, nuclei // 4, nuclei], axis=-1).astype(np.uint8)


def gray() -> np.ndarray:
    return np.repeat(h_and_e().mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)


def immunostain() -> np.ndarray:
    strength = np.random.default_rng(0).gamma(2, 0.3, (300, 300, 1))
    return np.rint(245 * np.exp(-strength * np.array([0.27, 0.57, 0.78]))).astype(np.uint8)  # diaminobenzidine


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        pytest.param(landscape(), "does not have the colours of an H&E section", id="landscape"),
        pytest.param(sky(), "does not have the colours of an H&E section", id="sky"),
        pytest.param(noise(), "does not have the colours of an H&E section", id="noise"),
        pytest.param(immunostain(), "does not have the colours of an H&E section", id="brown stain"),
        pytest.param(gray(), "blank or has no colour", id="gray"),
        pytest.param(np.full((300, 300, 3), 255, np.uint8), "blank or has no colour", id="blank"),
        pytest.param(np.full((300, 300, 3), (240, 215, 228), np.uint8), "shows no tissue", id="pink glass"),
        pytest.param(fluorescence(), "mostly black", id="fluorescence"),
    ],
)
def test_image_that_is_no_h_and_e_is_refused(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_h_and_e(saved(tmp_path, pixels))


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["mob/central", "mob/site", "her2st/central", "her2st/site"])
def test_real_sections_are_accepted(folder: str) -> None:
    paths = sorted((DATA / folder).glob("*.jpg"))
    assert paths
    for path in paths:
        check_h_and_e(Slide(path))


@needs_data
@pytest.mark.real_data
def test_pale_brain_without_glass_around_it_is_tissue() -> None:
    middle = Slide(DATA / "mob" / "central" / "section_08.jpg").shrunk(1)[850:1350, 600:1300]
    assert tissue_mask(reduced(middle, 4)).mean() > 0.9


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_fields_of_many_organs_are_accepted() -> None:
    paths = sorted((DATA / "nuinsseg").glob("*.jpg"))[::5]
    refused = []
    for path in paths:
        try:
            check_h_and_e(Slide(path))
        except BadInput:
            refused.append(path.name)
    assert len(refused) <= 0.02 * len(paths), refused
