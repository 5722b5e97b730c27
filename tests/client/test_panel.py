"""The panel is estimated on training spots only, transforms as documented, and refuses what it does not fit."""

import json
import re

import numpy as np
import pytest
import scipy.sparse
from fakes.small_site import SmallSite
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst_client.spots.panel import Panel, fit_panel
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.slide import Slide


def spots_of(counts, genes=None, tmp="unused.png"):
    counts = np.asarray(counts)
    genes = genes or [f"g{number}" for number in range(counts.shape[1])]
    barcodes = [f"s{number}" for number in range(len(counts))]
    matrix = scipy.sparse.csr_matrix(counts.astype(np.int32))
    return SpotSet(barcodes, genes, matrix, np.zeros((len(counts), 2)), Slide(tmp), 1.0, "a test")


def by_hand(counts, train):
    """Log-normalised expression, dense."""
    library = counts.sum(axis=1, keepdims=True).astype(float)
    target = np.median(library[train])
    return np.log1p(np.divide(counts * target, library, out=np.zeros(counts.shape), where=library > 0)), target


def test_training_spots_have_mean_zero_and_variance_one():
    spots = spots_of(SmallSite().counts)
    train = np.arange(0, 49, 3)
    panel = fit_panel(spots, train, genes=5)
    scores = panel.transform(spots.counts, spots.genes)
    assert scores.shape == (49, 5)
    assert scores.dtype == np.float32
    assert np.allclose(scores[train].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scores[train].std(axis=0), 1, atol=1e-5)
    assert panel.train_spots == len(train)


counts_tables = st.integers(2, 8).flatmap(
    lambda genes: st.lists(st.lists(st.integers(0, 50), min_size=genes, max_size=genes), min_size=4, max_size=12)
)


@settings(deadline=None)
@given(counts_tables, st.data())
def test_panel_is_what_dense_arithmetic_gives(rows, data):
    counts = np.array(rows)
    train = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, unique=True))
    expression, target = by_hand(counts, train)
    mean, sd = expression[train].mean(axis=0), expression[train].std(axis=0)
    spots = spots_of(counts)
    expected = {gene for gene in range(counts.shape[1]) if sd[gene] > 1e-6}
    if not expected:
        with pytest.raises(BadInput, match="No gene varies"):
            fit_panel(spots, train, genes=3)
        return
    panel = fit_panel(spots, train, genes=3)
    columns = [spots.genes.index(gene) for gene in panel.genes]
    assert len(columns) == min(3, len(expected))
    assert set(columns) <= expected
    left_out = expected - set(columns)
    assert not left_out or max(mean[list(left_out)]) <= min(mean[columns]) + 1e-9
    assert np.all(np.diff(panel.mean) <= 0)
    assert panel.target_sum == target
    scores = (expression[:, columns] - mean[columns]) / sd[columns]
    assert np.allclose(panel.transform(spots.counts, spots.genes), scores, rtol=1e-3, atol=1e-3)


def test_held_out_spots_do_not_move_the_panel():
    counts = SmallSite().counts
    changed = counts.copy()
    changed[30:] = 7
    train = range(30)
    assert fit_panel(spots_of(counts), train, 6) == fit_panel(spots_of(changed), train, 6)


def test_order_of_genes_and_spots_does_not_matter():
    counts, genes = SmallSite().counts, SmallSite().genes
    panel = fit_panel(spots_of(counts, genes), range(20), 6)
    turned = fit_panel(spots_of(counts[:, ::-1], genes[::-1]), range(20), 6)
    assert turned.genes == panel.genes
    assert np.allclose(
        turned.transform(scipy.sparse.csr_matrix(counts[:, ::-1]), genes[::-1]),
        panel.transform(scipy.sparse.csr_matrix(counts), genes),
    )


def test_ties_go_by_name():
    counts = np.array([[5, 5, 1], [2, 2, 1], [3, 3, 1]])
    assert fit_panel(spots_of(counts, ["b", "a", "c"]), range(3), 2).genes == ("a", "b")


def test_genes_without_variance_in_training_are_left_out():
    counts = SmallSite().counts.copy()
    counts[:20, 3] = 0
    panel = fit_panel(spots_of(counts, SmallSite().genes), range(20), 12)
    assert SmallSite().genes[3] not in panel.genes
    assert len(panel.genes) == 11


def test_spot_without_counts_gets_the_score_of_no_expression():
    counts = SmallSite().counts.copy()
    panel = fit_panel(spots_of(counts), range(20), 4)
    counts[40] = 0
    scores = panel.transform(scipy.sparse.csr_matrix(counts), spots_of(counts).genes)
    assert np.allclose(scores[40], [-mean / sd for mean, sd in zip(panel.mean, panel.sd, strict=True)], atol=1e-5)


def test_missing_genes_are_refused_by_name():
    spots = spots_of(SmallSite().counts, SmallSite().genes)
    panel = fit_panel(spots, range(20), 12)
    kept = [column for column, gene in enumerate(spots.genes) if gene not in ("Dense", "Gene3")]
    with pytest.raises(BadInput, match=r"2 of the panel's 12 genes are missing from the counts, such as .*(Dense|Gene3)"):
        panel.transform(spots.counts[:, kept], [spots.genes[column] for column in kept])


def test_panel_survives_its_file_with_its_fingerprint(tmp_path):
    panel = fit_panel(spots_of(SmallSite().counts), range(20), 6)
    panel.save(tmp_path / "panel.json")
    assert Panel.load(tmp_path / "panel.json") == panel
    assert Panel.load(tmp_path / "panel.json").fingerprint == panel.fingerprint
    assert panel.fingerprint != panel.model_copy(update={"target_sum": panel.target_sum + 1}).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"sd": [0.0] * 6},
        {"sd": [-1.0] * 6},
        {"mean": [1.0] * 5},
        {"genes": ["a"] * 6},
        {"target_sum": 0},
        {"genes": [], "mean": [], "sd": []},
    ],
    ids=str,
)
def test_damaged_panel_file_is_refused(tmp_path, change):
    panel = fit_panel(spots_of(SmallSite().counts), range(20), 6)
    (tmp_path / "panel.json").write_text(json.dumps(panel.model_dump(mode="json") | change))
    with pytest.raises(BadArtefact, match=r"panel.json is damaged"):
        Panel.load(tmp_path / "panel.json")


@pytest.mark.parametrize(("change", "what"), [({"format": 2}, "format 2"), ({"more": 1}, "the field more")])
def test_panel_file_of_a_newer_version_is_refused(tmp_path, change, what):
    panel = fit_panel(spots_of(SmallSite().counts), range(20), 6)
    (tmp_path / "panel.json").write_text(json.dumps(panel.model_dump(mode="json") | change))
    with pytest.raises(BadInput, match=f"has {what}, which this version of c2lst does not know"):
        Panel.load(tmp_path / "panel.json")


def test_panel_file_with_nan_or_no_json_is_refused(tmp_path):
    path = tmp_path / "panel.json"
    text = fit_panel(spots_of(SmallSite().counts), range(20), 6).model_dump_json()
    path.write_text(re.sub(r'"target_sum":[^,}]+', '"target_sum":NaN', text))
    with pytest.raises(BadArtefact, match="is damaged"):
        Panel.load(path)
    path.write_text("{")
    with pytest.raises(BadArtefact, match="is damaged"):
        Panel.load(path)
    with pytest.raises(BadInput, match="There is no"):
        Panel.load(tmp_path / "none.json")
