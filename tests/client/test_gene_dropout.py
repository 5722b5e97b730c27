"""Zeroed genes are zeroed, and tissue that leans on them changes when they are gone."""

import numpy as np
import pytest
from fakes.blobs import blob_patches

from c2lst_client.evaluate.gene_dropout import Dropout, DropoutResult, dropout_conditions, measure_dropout, raw_zero
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_shared.errors import BadInput

SPOTS, GENES = 80, 40
DENSITY = np.random.default_rng(0).random(SPOTS)
NAMES = [f"gene-{g}" for g in range(GENES)]


def _expression(informative: int) -> np.ndarray:
    """The first genes are the standard score of the density, the others are noise."""
    values = np.random.default_rng(1).normal(size=(SPOTS, GENES))
    values[:, :informative] = ((DENSITY - 0.5) * np.sqrt(12))[:, None]
    return values.astype(np.float32)


def _generate(conditions: np.ndarray, informative: int) -> np.ndarray:
    """A model that paints the mean of the informative genes, always with the same noise."""
    density = conditions[:, :informative].mean(axis=1) / np.sqrt(12) + 0.5
    return blob_patches(np.clip(density, 0, 1), px=24, seed=5)


def _measure(plan: Dropout, informative: int, **options: object) -> DropoutResult:
    real = blob_patches(DENSITY, px=24, seed=1)
    full = _generate(_expression(informative), informative)
    dropped = (_generate(conditions, informative) for conditions in plan.expression)
    return measure_dropout(real, full, dropped, plan.dropped, NAMES, threshold=nuclear_threshold(real), **options)  # type: ignore[arg-type]


def test_five_genes_of_every_spot_are_at_the_mean_and_no_other_changes():
    expression = _expression(3) + 3
    plan = dropout_conditions(expression, seed=1, repeats=4)
    assert plan.dropped.shape == (4, 5)
    assert len({tuple(columns) for columns in plan.dropped.tolist()}) == 4
    for conditions, columns in zip(plan.expression, plan.dropped, strict=True):
        assert (conditions[:, columns] == 0).all()
        kept = np.setdiff1d(np.arange(GENES), columns)
        np.testing.assert_array_equal(conditions[:, kept], expression[:, kept])


def test_a_count_of_zero_is_another_z_score():
    fill = raw_zero([2.0] * GENES, [0.5] * GENES)
    plan = dropout_conditions(_expression(3), seed=1, fill=fill)
    assert (plan.expression[0][:, plan.dropped[0]] == -4).all()


def test_same_seed_drops_the_same_genes():
    one, again, other = (dropout_conditions(_expression(3), seed).dropped.tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_a_model_that_leans_on_all_genes_is_robust():
    result = _measure(dropout_conditions(_expression(GENES), seed=1), GENES)
    assert result.change.low > -0.05
    assert result.nuclear_shift.high < 0.05
    assert result.feature_shift.high < 0.4
    assert [len(names) for names in result.dropped] == [5] * 5


def test_a_model_that_leans_on_few_genes_is_not():
    plan = Dropout(np.repeat(_expression(5)[None], 3, axis=0), np.tile(np.arange(5), (3, 1)))
    plan.expression[..., :5] = 0
    result = _measure(plan, 5)
    assert result.change.high < -0.5
    assert abs(result.r_dropped.value) < 0.3
    assert result.feature_shift.low > 0.4


def test_nothing_dropped_changes_nothing():
    plan = Dropout(np.repeat(_expression(5)[None], 2, axis=0), np.tile(np.arange(30, 35), (2, 1)))
    result = _measure(plan, 5)
    assert (result.change.low, result.change.value, result.change.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert result.nuclear_shift.high == result.feature_shift.high == 0


def test_an_encoder_gives_the_features():
    plan = dropout_conditions(_expression(5), seed=1)
    result = _measure(plan, 5, encode=lambda patches: patches.reshape(len(patches), -1)[:, :64].astype(np.float32))
    assert result.features == "features of an image network"
    assert result.feature_shift.value < 1


def test_missing_repeats_are_refused():
    plan = dropout_conditions(_expression(5), seed=1)
    with pytest.raises(BadInput, match="2 repeats and genes of 5"):
        _measure(Dropout(plan.expression[:2], plan.dropped), 5)


def test_more_genes_than_the_panel_has_are_refused():
    with pytest.raises(BadInput, match="drop fewer"):
        dropout_conditions(_expression(5), seed=1, genes=GENES)
