"""Clusters with planted tissue are told apart; patches that ignore their cluster are not."""

import numpy as np
import pytest
from fakes.blobs import blob_patches
from fakes.planted_slide import square_array

from c2lst_client.evaluate.cluster_morphology import ClusterResult, measure_clusters, recognise_clusters
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_client.evaluate.patch_morphology import NUMBERS
from c2lst_shared.errors import BadInput

SIDE = 12
DENSITY = {"A": 0.1, "B": 0.4, "C": 0.7, "D": 1.0}  # of nuclei


def _clusters() -> np.ndarray:
    """Four stripes, two or three spots wide each, twice over the slide."""
    columns = np.tile(np.arange(SIDE), SIDE)
    return np.array(list("ABCD"))[columns * 8 // SIDE % 4]


def _patches(names: np.ndarray, samples: int, seed: int) -> np.ndarray:
    density = np.array([DENSITY[name] for name in names])
    return np.stack([blob_patches(density, px=24, seed=seed + k) for k in range(samples)], axis=1)


def _measure(generated: np.ndarray, names: np.ndarray | None = None) -> ClusterResult:
    names = _clusters() if names is None else names
    real = _patches(_clusters(), 1, 1)[:, 0]
    return measure_clusters(real, generated, names, threshold=nuclear_threshold(real), centres=square_array(SIDE))


def test_tissue_that_follows_the_clusters_agrees_and_is_recognised():
    result = _measure(_patches(_clusters(), 2, 10))
    assert [one.cluster for one in result.clusters] == ["A", "B", "C", "D"]
    assert result.agreement["nuclear fraction"].low > 0.95
    assert set(result.agreement) == set(result.clusters[0].real) == set(NUMBERS)
    for one in result.clusters:
        change = one.difference["nuclear fraction"]
        assert change.low <= 0 <= change.high or abs(change.value) < 0.01
    found = result.recognition
    assert found.chance == 0.25
    assert found.generated.low > found.shuffled.high
    assert found.generated.value == pytest.approx(found.real.value, abs=0.1)
    assert np.argmax(found.confusion, axis=1).tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(np.sum(found.confusion, axis=1), 1)


def test_tissue_that_ignores_the_clusters_neither_agrees_nor_is_recognised():
    anywhere = np.random.default_rng(0).permutation(_clusters())
    result = _measure(_patches(anywhere, 2, 10))
    assert result.agreement["nuclear fraction"].value < 0.3
    assert result.recognition.generated.low < 0.25 < result.recognition.generated.high
    assert result.recognition.real.low > 0.7
    assert result.recognition.shuffled.value == pytest.approx(0.25, abs=0.01)


def test_tissue_of_one_kind_has_no_concordance():
    result = _measure(np.repeat(_patches(np.full(SIDE**2, "B"), 1, 5), 1, axis=1))
    assert abs(result.agreement["nuclear fraction"].value) < 0.1
    assert result.recognition.generated.value == pytest.approx(0.25, abs=0.1)


def test_small_clusters_are_left_out_and_named():
    names = _clusters()
    names[:3] = "E"
    result = _measure(_patches(_clusters(), 1, 10), names)
    assert result.left_out == ["E"]
    assert "E" not in [one.cluster for one in result.clusters]


def test_one_cluster_is_refused():
    with pytest.raises(BadInput, match="1 clusters have 10 spots"):
        _measure(_patches(_clusters(), 1, 10), np.zeros(SIDE**2, int))


def test_features_of_any_kind_can_be_recognised():
    rng = np.random.default_rng(0)
    names = np.repeat(["x", "y"], 40)
    means = np.where(names == "x", -1.0, 1.0)[:, None]
    real, generated = means + rng.normal(size=(80, 3)), means[:, None] + rng.normal(size=(80, 2, 3))
    found = recognise_clusters(real, generated, names)
    assert min(found.real.low, found.generated.low) > 0.8
    null = recognise_clusters(rng.normal(size=(80, 3)), generated, names)
    assert null.real.low < 0.5 < null.real.high
