"""Legacy arrays read as they were written, in both layouts; anything wrong with one is a BadInput and nothing else."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from fakes.small_site import SmallSite, grid_counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from c2lst_client.spots.checks import MIN_LIBRARY
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput

TRIES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GENE_NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-._ "), min_size=1).map(str.strip)


def read_back(spots):
    """Return barcode -> (position, counts)."""
    rows = spots.counts.toarray().tolist()
    return {name: (tuple(centre), row) for name, centre, row in zip(spots.barcodes, spots.centres.tolist(), rows, strict=True)}


@pytest.mark.parametrize("separator", ["\t", ","], ids=["tab", "comma"])
@pytest.mark.parametrize("corner", [False, True], ids=["R", "corner"])
@pytest.mark.parametrize("layout", ["spots", "selection"])
def test_both_layouts_read_as_written(tmp_path, layout, corner, separator):
    site = SmallSite()
    spots = read_spots(site.write_legacy(tmp_path, layout, separator, corner))
    prefix = "X" if layout == "spots" else ""
    assert spots.barcodes == [prefix + name for name in site.barcodes]
    assert spots.genes == site.genes
    assert spots.counts.dtype == np.int32
    assert np.array_equal(spots.counts.toarray(), site.counts)
    assert np.allclose(spots.centres, site.centres)
    assert spots.um_per_px == pytest.approx(200 / 72)
    assert "legacy ST array (S1." in spots.source
    assert spots.notes == ["Scale: 2.778 um/px, from the spot pitch (72.0 px for 200 um)."]


@pytest.mark.slow
@TRIES
@given(
    table=arrays(np.int64, st.tuples(st.integers(20, 49), st.integers(2, 6)), elements=st.integers(0, 2**31 - 1)),
    data=st.data(),
    layout=st.sampled_from(["spots", "selection"]),
    corner=st.booleans(),
)
def test_any_table_reads_back_as_written(table, data, layout, corner):
    counts = table.tolist()
    number = len(counts[0])
    genes = data.draw(st.lists(GENE_NAMES.filter(bool), min_size=number, max_size=number, unique=True))
    order = data.draw(st.permutations(range(49)))[: len(counts)]
    whole = SmallSite()
    site = SmallSite(
        centres=whole.centres[order],
        counts=np.array(counts),
        genes=genes,
        barcodes=[whole.barcodes[place] for place in order],
    )
    totals = table.sum(axis=1)
    with_counts = [row for row in range(len(order)) if totals[row] > MIN_LIBRARY * np.median(totals)]
    with tempfile.TemporaryDirectory() as folder:
        site.write_legacy(Path(folder), layout, corner=corner)
        if len(with_counts) < 20:
            with pytest.raises(BadInput, match=r"usable spots? and 20 are needed|no count above 0"):
                read_spots(Path(folder))
            return
        spots = read_spots(Path(folder), um_per_px=2.78)
    prefix = "X" if layout == "spots" else ""
    expected = {prefix + site.barcodes[row]: (tuple(site.centres[row]), counts[row]) for row in with_counts}
    assert spots.genes == genes
    assert read_back(spots) == expected


BAD_CELLS = ["", "NA", "nan", "inf", "-inf", "-1", "0.5", "abc", "1e999", "1_0", "9e15", '"', "1 2", "0x10", "é"]


def _cell(lines, row, column, text):
    cells = lines[row].split("\t")
    cells[column] = text
    lines[row] = "\t".join(cells)


def _without_cell(lines, row, column):
    lines[row] = "\t".join(lines[row].split("\t")[:-1])


@pytest.mark.slow
@TRIES
@given(
    row=st.integers(1, 49),
    column=st.integers(1, 12),
    text=st.sampled_from(BAD_CELLS),
    layout=st.sampled_from(["spots", "selection"]),
)
def test_one_bad_count_anywhere_is_refused(row, column, text, layout):
    with tempfile.TemporaryDirectory() as folder:
        lines = _counts_lines(SmallSite().write_legacy(Path(folder), layout))
        _cell(lines, row, column, text)
        _write_counts_lines(Path(folder), lines)
        with pytest.raises(BadInput, match=r"S1\.tsv\.gz"):
            read_spots(Path(folder))


@pytest.mark.slow
@TRIES
@given(
    row=st.integers(1, 49),
    column=st.sampled_from(["pixel_x", "pixel_y"]),
    text=st.sampled_from(["", "NA", "nan", "inf", "-inf", "-5", "601", "1e9", "twelve", "1,5"]),
    layout=st.sampled_from(["spots", "selection"]),
)
def test_one_bad_position_anywhere_is_refused(row, column, text, layout):
    with tempfile.TemporaryDirectory() as folder:
        path = SmallSite().write_legacy(Path(folder), layout) / f"S1_{layout}.tsv"
        lines = path.read_text().splitlines()
        _cell(lines, row, lines[0].split("\t").index(column), text)
        path.write_text("\n".join(lines) + "\n")
        with pytest.raises(BadInput, match=r"S1_|lie outside S1\.png"):
            read_spots(Path(folder))


@pytest.mark.slow
@TRIES
@given(
    where=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=0, max_size=40),
    name=st.sampled_from(["S1.tsv", "S1_spots.tsv", "S1.png"]),
)
def test_damage_anywhere_is_read_or_refused_but_never_crashes(where, junk, name):
    with tempfile.TemporaryDirectory() as folder:
        site = SmallSite().write_legacy(Path(folder))
        plain = site / "S1.tsv"
        plain.write_bytes(gzip.decompress((site / "S1.tsv.gz").read_bytes()))
        (site / "S1.tsv.gz").unlink()
        content = (site / name).read_bytes()
        cut = int(where * len(content))
        (site / name).write_bytes(content[:cut] + junk + content[cut + len(junk) + 1 :])
        try:
            spots = read_spots(site)
        except BadInput:
            return
        assert len(spots) >= 20


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_cut_off_gzip_is_refused(tmp_path, share):
    path = SmallSite().write_legacy(tmp_path) / "S1.tsv.gz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInput, match=r"is empty|is a damaged or cut-off gzip file"):
        read_spots(tmp_path)


def test_spots_that_are_not_selected_are_left_out(tmp_path):
    path = SmallSite().write_legacy(tmp_path, "selection") / "S1_selection.tsv"
    lines = path.read_text().splitlines()
    _cell(lines, 3, 6, "0")
    path.write_text("\n".join(lines))
    spots = read_spots(tmp_path)
    assert len(spots) == 48
    assert SmallSite().barcodes[2] not in spots.barcodes
    assert spots.notes[0] == "1 spots that S1_selection.tsv does not select are left out."


def test_array_positions_with_decimals_name_the_same_spots(tmp_path):
    path = SmallSite().write_legacy(tmp_path, "selection") / "S1_selection.tsv"
    lines = path.read_text().splitlines()
    for row in range(1, 50):
        _cell(lines, row, 0, lines[row].split("\t")[0] + ".0")
    path.write_text("\n".join(lines))
    assert read_spots(tmp_path).barcodes == SmallSite().barcodes


def test_table_with_genes_in_rows_is_refused_with_the_remedy(tmp_path):
    site = SmallSite()
    turned = SmallSite(
        counts=grid_counts(49)[:12],
        genes=[f"X{name}" for name in site.barcodes],
        barcodes=site.genes,
        centres=site.centres[:12],
    )
    site.write_legacy(tmp_path)
    rows = (tmp_path / "S1_spots.tsv").read_text()
    turned.write_legacy(tmp_path)
    (tmp_path / "S1_spots.tsv").write_text(rows)
    with pytest.raises(BadInput, match="transpose it to one row per spot"):
        read_spots(tmp_path)


def test_missing_spot_column_is_refused(tmp_path):
    path = SmallSite().write_legacy(tmp_path) / "S1_spots.tsv"
    path.write_text(path.read_text().replace("spot\t", "barcode\t"))
    with pytest.raises(BadInput, match="no column 'spot' but barcode, pixel_x, pixel_y"):
        read_spots(tmp_path)


def test_ragged_row_is_refused(tmp_path):
    lines = _counts_lines(SmallSite().write_legacy(tmp_path))
    _without_cell(lines, 7, -1)
    _write_counts_lines(tmp_path, lines)
    with pytest.raises(BadInput, match="has 11 counts in row 'X8x2' for 12 genes"):
        read_spots(tmp_path)


def _counts_lines(folder):
    return gzip.decompress((folder / "S1.tsv.gz").read_bytes()).decode().splitlines()


def _write_counts_lines(folder, lines):
    (folder / "S1.tsv.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
