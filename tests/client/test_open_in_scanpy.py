"""What a site makes opens in the field's tools as it is, and plots."""

import json

import anndata
import matplotlib as mpl
import numpy as np
import pytest
from fakes.pair_process import patch, writer

from c2lst_client.audit import AuditLog
from c2lst_client.export import plan_export, write_export
from c2lst_client.home import Home
from c2lst_client.predictions import write_predictions
from c2lst_client.rounds.policy import Policy
from c2lst_client.sites import SiteRecord, open_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what scanpy and its libraries deprecate in one another is theirs to change
]


@pytest.fixture
def pairs(tmp_path):
    """The .h5ad of an export, as a user gets it."""
    home = Home(tmp_path / "home")
    SiteRecord(name="demo", organ="mob", spots=tmp_path / "raw").save(home.site("demo") / "site.json")
    site = open_site(home, "demo")
    provenance = {"kind": "synthetic pairs", "expression": "interpolated"}
    with writer(site.synthetic, 30, 8, provenance=provenance) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(30)]))
    planned = plan_export(site, tmp_path / "out", policy=Policy(), without_privacy_check=True)
    return write_export(planned, AuditLog(home.audit_log)) / "expression.h5ad"


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
    mpl.use("Agg")
    import squidpy

    data = anndata.read_h5ad(pairs)
    axes = squidpy.pl.spatial_scatter(data, shape=None, color="a", return_ax=True)
    assert [len(points.get_offsets()) for points in axes.collections] == [30] * len(axes.collections)
    points = axes.collections[-1]  # the one in front: the gene's values
    assert np.array_equal(points.get_offsets(), data.obsm["spatial"])
    assert np.array_equal(np.asarray(points.get_array()), np.ravel(data[:, "a"].X))


def test_pairs_go_through_the_usual_steps_of_squidpy(pairs):
    import squidpy

    data = anndata.read_h5ad(pairs)
    squidpy.gr.spatial_neighbors(data, coord_type="generic", n_neighs=4)
    assert (data.obsp["spatial_connectivities"].getnnz(axis=1) == 4).all()
    squidpy.gr.spatial_autocorr(data, mode="moran", n_perms=None)
    assert set(data.uns["moranI"].index) == set("abcde")
    assert np.isfinite(data.uns["moranI"]["I"]).all()


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
