"""A condition is found where there is one, not where there is none, and the control breaks the link."""

import numpy as np
import pytest
from fakes.blobs import blob_patches, expression_of

from c2lst_client.evaluate.conditioning import Tissue, measure_conditioning, ridge_prediction
from c2lst_client.evaluate.results import ConditioningResult
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import SamplingConfig

SPOTS = 60


def _tissue(seed: int, spots: int = SPOTS) -> tuple[np.ndarray, Tissue]:
    density = np.random.default_rng(seed).random(spots)
    return density, Tissue(blob_patches(density, seed=seed), expression_of(density, seed=seed))


def _synthetic(density: np.ndarray, samples: int = 2) -> np.ndarray:
    return np.stack([blob_patches(density, seed=100 + sample) for sample in range(samples)], axis=1)


def _measure(synthetic: np.ndarray, held_out: Tissue, **options: object) -> ConditioningResult:
    _, train = _tissue(1)
    names = [f"spot-{row}" for row in range(len(held_out.patches))]
    return measure_conditioning(train, held_out, synthetic, barcodes=names, sampling=SamplingConfig(), **options)  # type: ignore[arg-type]


def test_patches_that_follow_expression_correlate_and_the_control_does_not():
    density, held_out = _tissue(2)
    result = _measure(_synthetic(density), held_out)
    assert result.r.value > 0.8
    assert result.r.low > result.shuffled_r.high
    assert result.shuffled_r.value == pytest.approx(0, abs=0.02)
    assert result.shuffled_r.high == pytest.approx(1.96 / np.sqrt(SPOTS - 1), rel=0.1)
    assert result.ridge_r.value > 0.85
    assert 0.6 < result.concordance.value <= result.r.value
    assert (result.samples_per_spot, len(result.real), len(result.synthetic)) == (2, SPOTS, SPOTS)


def test_dark_patches_that_follow_expression_correlate_without_concordance():
    density, held_out = _tissue(2)
    result = _measure(_synthetic(0.8 + 0.2 * density), held_out)
    assert result.r.value > 0.5
    assert result.concordance.value < 0.5 * result.r.value


def test_patches_that_ignore_expression_do_not_correlate():
    _, held_out = _tissue(2)
    result = _measure(_synthetic(np.random.default_rng(9).random(SPOTS)), held_out)
    assert result.r.low < 0 < result.r.high
    assert result.ridge_r.value > 0.85


def test_blank_patches_have_no_correlation():
    _, held_out = _tissue(2)
    result = _measure(np.full((SPOTS, 1, 16, 16, 3), 230, np.uint8), held_out)
    assert (result.r.low, result.r.value, result.r.high) == (0.0, 0.0, 0.0)
    assert result.concordance.value == 0.0


def test_same_seed_gives_the_same_result():
    density, held_out = _tissue(2)
    centres = np.random.default_rng(0).random((SPOTS, 2))
    first, again, other = (_measure(_synthetic(density), held_out, centres=centres, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.shuffled_r != other.shuffled_r


def test_ridge_is_fitted_on_training_spots_alone():
    rng = np.random.default_rng(0)
    expression = rng.normal(size=(50, 30))
    value = expression @ rng.normal(size=30)
    unrelated = ridge_prediction(expression, rng.normal(size=50), rng.normal(size=(200, 30)))
    known = ridge_prediction(expression, value, expression[:5] + 0.0)
    np.testing.assert_allclose(known, value[:5], atol=0.3)
    assert np.abs(unrelated).max() < 2


def test_spots_that_do_not_match_are_refused():
    density, held_out = _tissue(2)
    with pytest.raises(BadInput, match="There are 60 held-out patches, 60 expression vectors, 59 spots"):
        _measure(_synthetic(density)[:-1], held_out)


def test_too_few_spots_are_refused():
    density, held_out = _tissue(2, spots=2)
    with pytest.raises(BadInput, match="60 training and 2 held-out spots are too few"):
        _measure(_synthetic(density), held_out)
