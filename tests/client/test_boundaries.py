"""Sharp borders, timid predictions and blurred ones are told apart."""

import numpy as np
import pytest
from fakes.planted_slide import blurred, square_array, territories, two_territories

from c2lst_client.evaluate.boundaries import BoundaryArm, BoundaryResult, measure_boundaries
from c2lst_shared.errors import BadInput

SIDE, GENES = 14, 60


def _measure(**predictions: np.ndarray) -> BoundaryResult:
    _, measured = two_territories(SIDE, GENES, noise=1.0, seed=0)
    return measure_boundaries(measured, predictions, territories(SIDE), square_array(SIDE))


def _arm(prediction: np.ndarray) -> BoundaryArm:
    return _measure(one=prediction).arms[0]


def test_noise_does_not_make_measured_borders_sharper():
    result = _measure()
    assert result.measured_step.value == pytest.approx(1, abs=0.05)
    assert result.measured_stands_out is not None
    assert result.measured_stands_out.low > 3
    assert result.border_edges == SIDE + 2 * (SIDE - 1)
    assert result.clusters == 2


def test_the_truth_is_as_sharp_as_measured():
    arm = _arm(two_territories(SIDE, GENES, noise=0, seed=0)[0])
    assert arm.contrast.low <= 1 <= arm.contrast.high
    assert arm.sharpness is not None
    assert arm.sharpness.low <= 1 <= arm.sharpness.high
    assert arm.sharpness.high - arm.sharpness.low < 0.15
    assert arm.stands_out is None  # constant inside the clusters


def test_a_timid_prediction_has_less_contrast_and_is_as_sharp():
    clean, _ = two_territories(SIDE, GENES, noise=0, seed=0)
    arm = _arm(0.4 * clean)
    assert arm.contrast.value == pytest.approx(0.4, abs=0.03)
    assert arm.contrast.high < 0.5
    assert arm.sharpness is not None
    assert arm.sharpness.value == pytest.approx(1, abs=0.05)


def test_a_blurred_prediction_is_less_sharp():
    clean, _ = two_territories(SIDE, GENES, noise=0, seed=0)
    little, much = _arm(blurred(clean, SIDE, 1.0)), _arm(blurred(clean, SIDE, 2.5))
    assert little.sharpness is not None
    assert much.sharpness is not None
    assert much.sharpness.high < little.sharpness.low
    assert little.sharpness.high < 0.8
    assert little.stands_out is not None
    assert much.stands_out is not None
    assert much.stands_out.value < little.stands_out.value


def test_a_prediction_that_tells_no_clusters_apart_has_no_sharpness():
    arm = _arm(np.full((SIDE * SIDE, GENES), 0.2))
    assert arm.contrast.value == pytest.approx(0, abs=1e-9)
    assert (arm.sharpness, arm.stands_out) == (None, None)
    noise = _arm(np.random.default_rng(9).normal(size=(SIDE * SIDE, GENES)))
    assert noise.contrast.low < 0.05
    assert noise.contrast.high < 0.2


def test_names_of_clusters_do_not_matter():
    clean, measured = two_territories(SIDE, GENES, noise=1.0, seed=0)
    swapped = np.where(territories(SIDE) == "left", 2, 1)
    again = measure_boundaries(measured, {"one": 0.5 * clean}, swapped, square_array(SIDE))
    assert again.arms[0].contrast.value == pytest.approx(_arm(0.5 * clean).contrast.value)


def test_one_cluster_has_no_borders():
    _, measured = two_territories(SIDE, 4, noise=1.0, seed=0)
    with pytest.raises(BadInput, match="0 pairs of neighbours lie across a border"):
        measure_boundaries(measured, {}, np.zeros(len(measured)), square_array(SIDE))
