"""Gene names are recognised by their form, versions go, one gene has one column, and what was done is said."""

import numpy as np
import pytest
import scipy.sparse
from fakes.small_site import SmallSite
from hypothesis import given
from hypothesis import strategies as st

from c2lst_client.spots.gene_names import look_transposed, merge_columns, mismatch, naming, without_version
from c2lst_client.spots.panel import Panel, fit_panel
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput

HUMAN = [f"BRCA{number}" for number in range(30)] + ["C1orf112", "AC000032.2", "MT-ND1"]
MOUSE = [f"Pcp{number}" for number in range(30)] + ["0610005C13Rik", "AA986860", "mt-Nd1"]
RAT = [f"Pcp{number}" for number in range(30)] + ["Mt-nd1", "Mt-co1"]
HUMAN_IDS = [f"ENSG{number:011}" for number in range(5)]
MOUSE_IDS = [f"ENSMUSG{number:011}" for number in range(5)]


def ones(columns, rows=2):
    return scipy.sparse.csr_matrix(np.ones((rows, columns), np.int32))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (HUMAN, "human symbols"),
        (MOUSE, "mouse symbols"),
        (RAT, "rat symbols"),
        (HUMAN_IDS, "human Ensembl ids"),
        ([f"{name}.15" for name in MOUSE_IDS], "mouse Ensembl ids"),
        ([f"ENSECAG{number:011}" for number in range(5)], "ENSECA Ensembl ids"),
        (HUMAN_IDS + MOUSE_IDS, "Ensembl ids"),
        (HUMAN[:10], "names"),
        ([f"probe {number}" for number in range(50)], "names"),
        ([], "names"),
    ],
)
def test_names_are_recognised(names, words):
    assert str(naming(names)) == words


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("ENSG00000139618.15", "ENSG00000139618"),
        ("ENSMUSG00000041147.7", "ENSMUSG00000041147"),
        ("ENSG00000002586.20_PAR_Y", "ENSG00000002586_PAR_Y"),
        ("AC000032.2", "AC000032.2"),
        ("Nkx2.1", "Nkx2.1"),
    ],
)
def test_versions_go_from_ensembl_ids_only(name, bare):
    assert without_version(name) == bare
    assert without_version(bare) == bare


def test_what_was_done_is_said_in_one_sentence():
    _, genes, note = merge_columns(ones(34), [*MOUSE, "Pcp4"])
    assert genes == MOUSE
    assert note == "Genes: 33 mouse symbols; 1 name came more than once and was summed, such as Pcp4."
    _, _, note = merge_columns(ones(6), [*(f"{name}.2" for name in HUMAN_IDS), HUMAN_IDS[0]])
    assert note == (
        "Genes: 5 human Ensembl ids; 5 came with a version, which was removed; "
        f"1 name came more than once and was summed, such as {HUMAN_IDS[0]}."
    )


def test_two_versions_of_one_gene_are_summed():
    counts = scipy.sparse.csr_matrix(np.array([[1, 5, 10], [2, 0, 20]], np.int32))
    merged, genes, _ = merge_columns(counts, ["ENSG00000139618.15", "ENSG00000000003.1", "ENSG00000139618.16"])
    assert genes == ["ENSG00000139618", "ENSG00000000003"]
    assert merged.toarray().tolist() == [[11, 5], [22, 0]]


def test_names_of_no_known_form_are_kept_without_a_word():
    _, genes, note = merge_columns(ones(3), ["a", "b", "c"])
    assert (genes, note) == (["a", "b", "c"], None)


def test_ids_beside_the_names_say_the_species():
    symbols = [f"Gene.{number}" for number in range(5)]
    _, genes, note = merge_columns(ones(5), symbols, [f"{name}.3" for name in MOUSE_IDS])
    assert genes == symbols
    assert note == "Genes: 5 mouse names."


@given(st.lists(st.sampled_from([*HUMAN_IDS, "ENSG00000000001.7", "a", "B2"]), min_size=1, max_size=9), st.integers(0, 99))
def test_no_count_is_lost_or_made(genes, seed):
    counts = np.random.default_rng(seed).integers(0, 9, (3, len(genes)))
    merged, unique, _ = merge_columns(scipy.sparse.csr_matrix(counts), genes)
    assert len(set(unique)) == len(unique) == merged.shape[1]
    assert merged.sum(axis=1).ravel().tolist()[0] == counts.sum(axis=1).tolist()


def test_site_says_what_its_genes_are(tmp_path):
    site = SmallSite(counts=np.tile(SmallSite().counts, 3)[:, :33], genes=MOUSE)
    assert read_spots(site.write_legacy(tmp_path)).notes[0] == "Genes: 33 mouse symbols."


def panel_of(genes):
    return Panel(genes=tuple(genes), mean=(0.0,) * len(genes), sd=(1.0,) * len(genes), target_sum=1.0, train_spots=9)


@pytest.mark.parametrize(
    ("genes", "difference"),
    [(MOUSE, "human symbols and the counts have mouse symbols"), (HUMAN_IDS, "human symbols and the counts have human Ens")],
)
def test_panel_of_another_species_or_kind_is_one_clear_sentence(genes, difference):
    with pytest.raises(BadInput, match=f"^The panel has {difference}.*; use counts with the panel's kind of gene names"):
        panel_of(HUMAN).transform(ones(len(genes)), genes)


def test_one_missing_gene_of_the_same_kind_is_named():
    assert mismatch(HUMAN, HUMAN[1:]) is None
    with pytest.raises(BadInput, match=r"1 of the panel's 33 genes are missing from the counts, such as BRCA0"):
        panel_of(HUMAN).transform(ones(32), HUMAN[1:])


def test_panel_of_no_genes_is_refused(tmp_path):
    spots = read_spots(SmallSite().write_legacy(tmp_path))
    with pytest.raises(BadInput, match="A panel of 0 genes is empty; ask for at least 1, usually 250"):
        fit_panel(spots, range(20), genes=0)


@pytest.mark.parametrize("barcodes", [["AAACAAGTATCTCCCA-1"], ["16.92x9.015"], ["X3x4"], ["s_016um_00052_00082-1"]])
def test_genes_in_rows_and_barcodes_in_columns_look_transposed(barcodes):
    assert look_transposed(HUMAN, barcodes)
    assert look_transposed(MOUSE_IDS, barcodes)
    assert not look_transposed(barcodes, HUMAN)
    assert not look_transposed(barcodes * 30, barcodes)
