"""A sweep moves what it says, and finds the slope that was planted."""

import numpy as np
import pytest
from fakes.blobs import blob_patches

from c2lst_client.evaluate.gene_sweeps import (
    Sweep,
    SweepResult,
    choose_sweep_genes,
    measure_sweep,
    predict_slope,
    sweep_conditions,
)
from c2lst_shared.errors import BadInput

SPOTS = 120
NAMES = ["up", "up-too", "down", "idle", "idle-too"]
NUCLEAR = np.random.default_rng(0).uniform(0.1, 0.4, SPOTS)
THRESHOLD = 0.04  # of haematoxylin, between the pale and the dark of the blobs


def _expression(noise: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(1)
    z = (NUCLEAR - NUCLEAR.mean()) / NUCLEAR.std()
    values = z[:, None] * [1, 0.8, -1, 0, 0] + noise * rng.normal(size=(SPOTS, 5))
    values[:, 3:] = rng.normal(size=(SPOTS, 2))
    return values


def _patches(fraction: np.ndarray, noises: int = 6) -> np.ndarray:
    """Patches N x T whose share of nuclei is that of each step; half of the cells are dark at density 1."""
    return np.stack([blob_patches(2 * fraction, px=48, seed=seed) for seed in range(noises)])


def _measure(patches: np.ndarray, sweep: Sweep, strip: str = "together") -> SweepResult:
    return measure_sweep(
        patches,
        sweep,
        strip,  # type: ignore[arg-type]
        genes=NAMES,
        train_expression=_expression(),
        train_nuclear=NUCLEAR,
        threshold=THRESHOLD,
    )


def test_genes_are_chosen_by_what_they_do():
    chosen = choose_sweep_genes(_expression(), NUCLEAR, NAMES)
    assert [(one.gene, one.role) for one in chosen[:2]] == [("up", "positive"), ("down", "negative")]
    assert chosen[2].role == "none"
    assert chosen[2].gene.startswith("idle")
    assert chosen[0].r.low > 0.5
    assert chosen[1].r.high < -0.5
    assert chosen[2].r.low < 0 < chosen[2].r.high


def test_a_gene_that_does_not_vary_is_not_chosen():
    expression = _expression()
    expression[:, 3] = 0
    assert choose_sweep_genes(expression, NUCLEAR, NAMES)[2].gene == "idle-too"


def test_alone_moves_one_gene_and_together_the_others_as_they_go_with_it():
    expression = _expression()
    sweep = sweep_conditions(expression, NAMES, "up", steps=9)
    low, high = np.percentile(expression[:, 0], [2, 98])
    np.testing.assert_allclose(sweep.z, np.linspace(low, high, 9))
    np.testing.assert_allclose(sweep.alone[:, 0], sweep.z, rtol=1e-6)
    np.testing.assert_allclose(sweep.together[:, 0], sweep.z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sweep.alone[:, 1:], np.tile(expression[sweep.start, 1:], (9, 1)), rtol=1e-6)
    moved = np.polyfit(expression[:, 0], expression[:, 1], 1)[0]
    np.testing.assert_allclose(np.diff(sweep.together[:, 1]) / np.diff(sweep.z), moved, rtol=1e-4)
    assert sweep.direction[0] == pytest.approx(1)
    assert sweep.direction[2] < -0.6


def test_sweep_starts_from_the_spot_nearest_to_the_median():
    expression = _expression()
    expression[17] = np.median(expression, axis=0) + 0.01
    assert sweep_conditions(expression, NAMES, "idle").start == 17


def test_planted_slope_is_found_and_none_is_not():
    sweep = sweep_conditions(_expression(), NAMES, "up", steps=7)
    rising = _measure(_patches(0.25 + 0.08 * sweep.z), sweep)
    assert rising.slope.low <= 0.08 <= rising.slope.high
    assert rising.slope.high - rising.slope.low < 0.03
    assert np.all(np.diff([one.value for one in rising.nuclear]) > 0)
    flat = _measure(_patches(np.full(7, 0.25)), sweep)
    assert abs(flat.slope.value) < 0.005
    assert flat.slope.high < 0.1 * rising.slope.low


def test_predicted_slope_is_that_of_real_tissue():
    expression = _expression()
    sweep = sweep_conditions(expression, NAMES, "up")
    together = predict_slope(expression, NUCLEAR, sweep.direction)
    marginal = np.polyfit(expression[:, 0], NUCLEAR, 1)[0]
    assert together.low <= marginal <= together.high
    assert together.value == pytest.approx(marginal, rel=0.15)
    alone = predict_slope(expression, NUCLEAR, np.eye(5)[0])
    assert 0 < alone.value < together.value  # what the genes share is shared among them
    assert predict_slope(expression, NUCLEAR, np.eye(5)[3]).low < 0.005


def test_strips_have_their_own_prediction():
    sweep = sweep_conditions(_expression(), NAMES, "up", steps=5)
    patches = _patches(0.25 + 0.05 * sweep.z)
    assert _measure(patches, sweep, "alone").predicted.value < _measure(patches, sweep).predicted.value


def test_too_few_noises_are_refused():
    sweep = sweep_conditions(_expression(), NAMES, "up", steps=5)
    with pytest.raises(BadInput, match="3 or more noises"):
        _measure(_patches(np.full(5, 0.2), noises=2), sweep)


def test_a_gene_outside_the_panel_is_refused():
    with pytest.raises(BadInput, match="not in this site's panel"):
        sweep_conditions(_expression(), NAMES, "Pcp4")
