"""Genes keep their sign and strength in tissue that follows expression, and lose them in tissue that does not."""

import numpy as np
import pytest
from fakes.blobs import blob_patches

from c2lst_client.evaluate.gene_correspondence import GeneCorrespondence, measure_gene_correspondence
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_client.evaluate.statistics import pearson_per_gene
from c2lst_shared.errors import BadInput

SPOTS = 100
DENSITY = np.random.default_rng(0).random(SPOTS)
WITH, AGAINST, NEITHER = range(0, 5), range(5, 10), range(10, 30)


def _expression() -> np.ndarray:
    slope = np.zeros(30)
    slope[WITH], slope[AGAINST] = np.linspace(1, 4, 5), -np.linspace(1, 4, 5)
    return (DENSITY - 0.5)[:, None] * slope + 0.5 * np.random.default_rng(1).normal(size=(SPOTS, 30))


def _measure(density: np.ndarray, samples: int = 2) -> GeneCorrespondence:
    real = blob_patches(DENSITY, seed=1)
    generated = np.stack([blob_patches(density, seed=10 + k) for k in range(samples)], axis=1)
    names = [f"gene-{g}" for g in range(30)]
    return measure_gene_correspondence(real, generated, _expression(), names, threshold=nuclear_threshold(real))


def test_tissue_that_follows_expression_lies_on_the_diagonal():
    result = _measure(DENSITY)
    assert result.concordance.low > 0.9
    assert result.concordance.low > result.shuffled.high
    assert all(result.generated[gene].low > 0 for gene in list(WITH)[1:])
    assert all(result.generated[gene].high < 0 for gene in list(AGAINST)[1:])
    assert np.mean([one.low < 0 < one.high for one in np.array(result.generated, object)[NEITHER]]) > 0.8


def test_tissue_that_reverses_expression_disagrees():
    assert _measure(1 - DENSITY).concordance.high < -0.8


def test_tissue_that_ignores_expression_lies_within_chance():
    result = _measure(np.random.default_rng(7).random(SPOTS))
    assert result.shuffled.low < result.concordance.value < result.shuffled.high
    assert result.shuffled.value == pytest.approx(0, abs=0.03)


def test_weak_conditioning_has_the_order_and_not_the_strength():
    weak = 0.5 + 0.25 * (DENSITY - 0.5)
    result = _measure(weak)
    x, y = (np.array([one.value for one in column])[:, None] for column in (result.real, result.generated))
    assert pearson_per_gene(x, y)[0] > 0.9
    assert result.concordance.value < 0.95 * _measure(DENSITY).concordance.value


def test_more_patches_per_spot_do_not_raise_r():
    one, many = (_measure(DENSITY, samples) for samples in (1, 8))
    strongest = list(WITH)[-1]
    assert many.generated[strongest].value == pytest.approx(one.generated[strongest].value, abs=0.03)


def test_other_genes_than_columns_are_refused():
    real = blob_patches(DENSITY, seed=1)
    with pytest.raises(BadInput, match="do not belong together"):
        measure_gene_correspondence(real, real[:, None], _expression(), ["one"], threshold=0.1)
