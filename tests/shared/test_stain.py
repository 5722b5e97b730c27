"""Stain normalisation does what staintools does, once per slide, and leaves glass white under any lamp."""

import numpy as np
import pytest
import spams
import staintools
from fakes.real_data import DATA, needs_data
from fakes.small_site import EOSIN, HAEMATOXYLIN, h_and_e

from c2lst_shared.errors import BadInput
from c2lst_shared.images import stain
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import SlideStain, fit_slide, normalise, reference_from
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.release.manifest import StainReference

METHODS = ["macenko", "vahadane"]
REFERENCE = StainReference(method="macenko", matrix=((0.62, 0.72, 0.31), (0.15, 0.95, 0.28)), max_concentration=(1.4, 0.7))


def tissue(seed: int = 0) -> np.ndarray:
    return h_and_e(seed)[100:500, 100:500].copy()


def as_row(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def by_staintools(image: np.ndarray) -> SlideStain:
    """The numbers that staintools' own normaliser works with."""
    fitted = staintools.StainNormalizer("macenko")
    fitted.fit(image.copy())
    haematoxylin, eosin = fitted.stain_matrix_target
    first, second = fitted.maxC_target.ravel()
    return SlideStain(
        method="macenko",
        white=(255.0, 255.0, 255.0),
        matrix=(as_row(haematoxylin), as_row(eosin)),
        max_concentration=(float(first), float(second)),
    )


def test_concentrations_equal_the_lasso_of_spams() -> None:
    matrix = np.array(REFERENCE.matrix)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    density = np.random.default_rng(0).exponential(0.4, (2000, 3))
    lasso = spams.lasso(X=np.asfortranarray(density.T), D=np.asfortranarray(matrix.T), mode=2, lambda1=0.01, pos=True)
    found = stain._concentrations(density.astype(np.float32), matrix.astype(np.float32))
    np.testing.assert_allclose(found, lasso.toarray().T, atol=1e-4)
    assert (found == 0).any()


def test_normalised_picture_equals_that_of_staintools() -> None:
    source, target = tissue(0), (tissue(1) * np.array([0.9, 0.8, 0.85])).astype(np.uint8)
    theirs = staintools.StainNormalizer("macenko")
    theirs.fit(target.copy())
    expected = theirs.transform(source.copy()).astype(int)
    found = normalise(source[None], by_staintools(source), reference_from(by_staintools(target)))[0].astype(int)
    assert np.abs(found - expected).max() <= 2  # staintools cuts the fraction off, we round


def test_fit_agrees_with_staintools_on_a_whole_field_of_tissue() -> None:
    image = tissue()
    ours, theirs = fit_slide(image), by_staintools(image)
    for found, expected in zip(ours.matrix, theirs.matrix, strict=True):
        assert np.dot(found, expected) > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_planted_stains_are_found_haematoxylin_first(method: stain.Method) -> None:
    found = np.array(fit_slide(h_and_e(), method).matrix)
    assert found[0] @ (HAEMATOXYLIN / np.linalg.norm(HAEMATOXYLIN)) > 0.98
    assert found[1] @ (EOSIN / np.linalg.norm(EOSIN)) > 0.97
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_same_slide_gives_the_same_fit(method: stain.Method) -> None:
    assert fit_slide(h_and_e(), method, seed=3) == fit_slide(h_and_e(), method, seed=3)


def test_another_sample_gives_nearly_the_same_fit() -> None:
    first, second = fit_slide(h_and_e(), seed=1), fit_slide(h_and_e(), seed=2)
    np.testing.assert_allclose(first.matrix, second.matrix, atol=0.02)
    np.testing.assert_allclose(first.max_concentration, second.max_concentration, rtol=0.03)


def test_stack_of_patches_is_fitted_like_the_slide() -> None:
    patches = h_and_e().reshape(6, 100, 6, 100, 3).swapaxes(1, 2).reshape(36, 100, 100, 3)
    np.testing.assert_allclose(fit_slide(patches).matrix, fit_slide(h_and_e()).matrix, atol=0.03)


@pytest.mark.parametrize("lamp", [(0.75, 0.75, 0.75), (0.97, 0.88, 0.93), (0.96, 0.94, 0.85)])
def test_lamp_does_not_show_in_the_result(lamp: tuple[float, float, float]) -> None:
    plain, lit = h_and_e(), np.rint(h_and_e() * np.array(lamp)).astype(np.uint8)
    expected = normalise(plain[None], fit_slide(plain), REFERENCE).astype(int)
    found = normalise(lit[None], fit_slide(lit), REFERENCE).astype(int)
    assert np.abs(found - expected).mean() < 4


def test_glass_becomes_white() -> None:
    pinkish = np.rint(h_and_e() * np.array([0.95, 0.86, 0.92])).astype(np.uint8)
    corner = normalise(pinkish[None, :12, :12], fit_slide(pinkish), REFERENCE)
    assert corner.mean() > 252
    assert np.ptp(corner.reshape(-1, 3).mean(axis=0)) < 2


def test_slide_normalised_to_itself_keeps_its_colours() -> None:
    fitted = fit_slide(h_and_e())
    same = normalise(h_and_e()[None], fitted, reference_from(fitted))[0].astype(float)
    expected = np.minimum(h_and_e() / np.array(fitted.white), 1.0) * 255
    assert np.abs(same - expected)[100:500, 100:500].mean() < 4


def test_patches_do_not_depend_on_what_is_normalised_beside_them() -> None:
    fitted = fit_slide(h_and_e())
    patches = np.stack([h_and_e()[top : top + 64, 200:264] for top in range(0, 512, 64)])
    together = normalise(patches, fitted, REFERENCE)
    for patch, expected in zip(patches, together, strict=True):
        np.testing.assert_array_equal(normalise(patch[None], fitted, REFERENCE)[0], expected)
    assert together.dtype == np.uint8


def pink_only() -> np.ndarray:
    strength = np.random.default_rng(0).gamma(4, 0.15, (200, 200, 1))
    return np.rint(250 * np.exp(-strength * EOSIN)).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        pytest.param(np.full((200, 200, 3), 240, np.uint8), "hardly any tissue", id="blank"),
        pytest.param(np.repeat(tissue()[..., :1], 3, axis=-1), "hardly any tissue", id="gray"),
        pytest.param(np.full((200, 200, 3), (180, 90, 140), np.uint8), "no two stains", id="one colour"),
        pytest.param(pink_only(), "two stains", id="eosin only"),
    ],
)
def test_image_without_two_stains_is_refused(method: stain.Method, pixels: np.ndarray, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        fit_slide(pixels, method)


def spread(sections: list[np.ndarray]) -> float:
    """How far the sections' colours lie apart, in units of the colours' own range within a section."""
    quantiles = np.array([np.percentile(tiles.reshape(-1, 3), (5, 25, 50, 75, 95), axis=0) for tiles in sections])
    return float(quantiles.std(axis=0).mean() / np.mean([tiles.reshape(-1, 3).std(axis=0).mean() for tiles in sections]))


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_sections_of_one_organ_do_not_drift_apart() -> None:
    raw, normalised, reference = [], [], None
    for path in sorted((DATA / "mob" / "central").glob("*.jpg"))[::3]:
        slide = Slide(path)
        centres = tile_positions(slide, 2.75, 176.0, 0.0, 0.9)[::4]
        tiles = np.stack([slide.read_square(float(x), float(y), 64, 64) for x, y in centres])
        fitted = fit_slide(slide)
        reference = reference or reference_from(fitted)
        raw.append(tiles)
        normalised.append(normalise(tiles, fitted, reference))
    assert spread(normalised) < spread(raw)
