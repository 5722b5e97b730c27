"""The whole of correspondence and coherence on painted tissue whose fields are known.

The same fields painted twice are a real slide and what a perfect generator would give for its spots; fields drawn anew are what
a generator gives that ignores them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from c2lst_client.evaluate.boundaries import measure_boundaries
from c2lst_client.evaluate.cluster_morphology import measure_clusters
from c2lst_client.evaluate.gene_correspondence import measure_gene_correspondence
from c2lst_client.evaluate.gene_sweeps import choose_sweep_genes
from c2lst_client.evaluate.nuclei import nuclear_fraction, nuclear_threshold
from c2lst_client.evaluate.spatial import measure_spatial
from c2lst_client.report.clusters import k_means
from c2lst_demo.tissue import Stain, make_fields, paint

pytestmark = pytest.mark.slow

UM_PER_PX, SIDE, PX, PITCH = 2.75, 1200, 48, 72
STAIN = Stain((0.64, 0.70, 0.31), (0.14, 0.90, 0.40), 1.7, 0.85, (242, 242, 241))
GENES = [f"{kind}{number}" for kind in ("Dense", "Sparse", "Stroma", "Steady") for number in range(8)]


class Phantom(NamedTuple):
    centres: npt.NDArray[np.float64]
    expression: npt.NDArray[np.float64]
    clean: npt.NDArray[np.float64]  # expression without counting noise
    real: npt.NDArray[np.uint8]
    perfect: npt.NDArray[np.uint8]  # S x 1 x P x P x 3
    careless: npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    fields = make_fields(np.random.default_rng(5), (SIDE, SIDE), UM_PER_PX)
    others = make_fields(np.random.default_rng(6), (SIDE, SIDE), UM_PER_PX)
    ticks = np.arange(150, SIDE - 150, PITCH)
    centres = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)

    def felt(field: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        around = ndimage.uniform_filter(field, PX)[centres[:, 1], centres[:, 0]].astype(np.float64)
        return (around - around.mean()) / around.std()

    density, stroma = felt(fields.density), felt(fields.stroma)
    clean = np.repeat([density, -density, stroma, 0 * density], 8, axis=0).T
    expression = clean + np.random.default_rng(7).normal(0, 0.8, clean.shape)

    def patches(slide: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        half = PX // 2
        return np.stack([slide[y - half : y + half, x - half : x + half] for x, y in centres])

    real, perfect, careless = (
        patches(paint(np.random.default_rng(seed), of, STAIN, UM_PER_PX))
        for seed, of in ((1, fields), (2, fields), (3, others))
    )
    return Phantom(centres.astype(float), expression, clean, real, perfect[:, None], careless[:, None])


def test_genes_go_with_nuclei_as_planted_in_perfect_tissue_and_not_in_careless_one(phantom: Phantom):
    threshold = nuclear_threshold(phantom.real)

    def measure(generated: npt.NDArray[np.uint8]):
        return measure_gene_correspondence(
            phantom.real, generated, phantom.expression, GENES, threshold=threshold, centres=phantom.centres
        )

    perfect, careless = measure(phantom.perfect), measure(phantom.careless)
    assert all(one.low > 0 for one in perfect.generated[:8])
    assert all(one.high < 0 for one in perfect.generated[8:16])
    assert perfect.concordance.low > max(0.9, perfect.shuffled.high)
    assert careless.concordance.high < perfect.concordance.low
    assert careless.concordance.low < 0.3


def test_sweeps_choose_planted_genes(phantom: Phantom):
    nuclear = nuclear_fraction(phantom.real, nuclear_threshold(phantom.real))
    chosen = choose_sweep_genes(phantom.expression, nuclear, GENES, each=2)
    assert [one.gene.rstrip("0123456789") for one in chosen[:4]] == ["Dense", "Dense", "Sparse", "Sparse"]


def test_clusters_are_recognised_in_perfect_tissue_as_well_as_in_real_one(phantom: Phantom):
    clusters = k_means(phantom.expression)
    threshold = nuclear_threshold(phantom.real)
    perfect, careless = (
        measure_clusters(phantom.real, generated, clusters, threshold=threshold, centres=phantom.centres)
        for generated in (phantom.perfect, phantom.careless)
    )
    assert perfect.agreement["nuclear fraction"].value > 0.95
    assert perfect.recognition.generated.low > perfect.recognition.shuffled.high
    assert perfect.recognition.generated.value == pytest.approx(perfect.recognition.real.value, abs=0.12)
    assert careless.agreement["nuclear fraction"].value < perfect.agreement["nuclear fraction"].low
    assert careless.recognition.generated.value < perfect.recognition.generated.low


def test_planted_genes_have_a_pattern_and_a_perfect_predictor_leaves_none(phantom: Phantom):
    arms = {"mean": 0 * phantom.clean, "perfect": phantom.clean}
    result = measure_spatial(phantom.expression, arms, phantom.centres, GENES)
    q = np.array(result.measured.q)
    assert (q[:24] < 0.01).all()
    assert (q[24:] < 0.05).sum() <= 1
    assert result.arms[1].residual.significant <= 1
    assert result.changes[0].change.high < 0
    borders = measure_boundaries(phantom.expression, arms, k_means(phantom.expression), phantom.centres)
    sharpness = borders.arms[1].sharpness
    assert sharpness is not None
    assert 0.75 < sharpness.value < 1.1
