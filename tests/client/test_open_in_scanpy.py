"""What a site makes opens in the field's tools as it is, and plots."""

import json

import anndata
import matplotlib as mpl
import numpy as np
import pytest
from fakes.pair_process import patch, writer

from c2lst_client.predictions import write_predictions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what scanpy and its libraries deprecate in one another is theirs to change
]


@pytest.fixture
def pairs(tmp_path):
    with writer(tmp_path / "pairs", 30, 8) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(30)]))
        pairs.finish()
    return tmp_path / "pairs" / "expression.h5ad"


@pytest.fixture
def predictions(tmp_path):
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((30, 5)).astype(np.float32)
    write_predictions(
        tmp_path / "predictions.h5ad",
        measured=measured,
        predictions={"mean": 0 * measured, "real + synthetic x2": measured / 2},
        arm="real + synthetic x2",
        barcodes=[f"{number}x3" for number in range(30)],
        genes=list("abcde"),
        centres=rng.uniform(0, 500, (30, 2)),
        provenance={"kind": "predictions of held-out spots", "release": "mob/1"},
    )
    return tmp_path / "predictions.h5ad"


def drawn(path, basis="spatial", **choices):
    """Plot as a user would, and say how many spots and what values the picture has."""
    mpl.use("Agg")
    import scanpy

    axes = scanpy.pl.embedding(scanpy.read_h5ad(path), basis=basis, show=False, **choices)
    (points,) = axes.collections
    return len(points.get_offsets()), np.asarray(points.get_array())


def test_pairs_plot_in_scanpy_unchanged(pairs):
    count, values = drawn(pairs, color="a")
    expected = anndata.read_h5ad(pairs)[:, "a"].X
    assert count == 30
    assert np.allclose(np.sort(values), np.sort(np.ravel(expected)))


def test_pairs_go_through_the_usual_steps_of_scanpy(pairs):
    import scanpy

    data = scanpy.read_h5ad(pairs)
    scanpy.pp.pca(data, n_comps=3)
    assert data.obsm["X_pca"].shape == (30, 3)


def test_pairs_plot_in_squidpy_unchanged(pairs):
    squidpy = pytest.importorskip("squidpy", reason="squidpy is not installed")
    mpl.use("Agg")
    squidpy.pl.spatial_scatter(anndata.read_h5ad(pairs), shape=None, color="a")


def test_predictions_hold_measured_predicted_and_where_they_come_from(predictions):
    data = anndata.read_h5ad(predictions)
    assert data.shape == (30, 5)
    assert np.array_equal(data.layers["predicted"], data.layers["real + synthetic x2"])
    assert np.allclose(data.X / 2, data.layers["predicted"])
    assert np.allclose(data.obs["mean_absolute_error"], np.abs(data.X / 2).mean(axis=1))
    assert data.uns["arm"] == "real + synthetic x2"
    assert json.loads(data.uns["provenance"])["release"] == "mob/1"
    assert data.obsm["spatial"].shape == (30, 2)


def test_predictions_plot_in_scanpy_unchanged(predictions):
    _, values = drawn(predictions, color="c", layer="predicted")
    assert np.allclose(np.sort(values), np.sort(anndata.read_h5ad(predictions)[:, "c"].layers["predicted"].ravel()))
