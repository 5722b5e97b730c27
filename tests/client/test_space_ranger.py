"""Space Ranger's output is read as what it is, whichever of its files hold it, or is refused in one sentence."""

import gzip
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse
from fakes.real_data import DATA, needs_data
from fakes.small_site import PITCH_PX, SmallSite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from c2lst_client.cli import app
from c2lst_client.spots import space_ranger, space_ranger_matrix, space_ranger_spatial, tables
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput

H5, MTX = "filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix"
CSV, LIST, PARQUET = "tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet"
TRIES = settings(derandomize=True, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(folder, **arguments):
    """Read `folder/outs` with the full-resolution image that lies beside it."""
    return read_spots(folder / "outs", folder / "S1.png", **arguments)


def factors_of(spatial, **changed):
    """Change the scale factors; None removes one."""
    path = spatial / "scalefactors_json.json"
    values = {**json.loads(path.read_text()), **changed}
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


def same(one, other):
    assert one.barcodes == other.barcodes
    assert one.genes == other.genes
    assert one.counts.dtype == other.counts.dtype == np.int32
    assert (one.counts != other.counts).nnz == 0
    assert np.array_equal(one.centres, other.centres)


@pytest.mark.parametrize("matrix", ["h5", "mtx"])
@pytest.mark.parametrize(
    ("positions", "header"),
    [(CSV, True), (LIST, False), (LIST, True), (PARQUET, True)],
    ids=["csv", "list", "list-with-header", "parquet"],
)
def test_every_layout_gives_the_same_spots_as_the_legacy_tables(tmp_path, matrix, positions, header):
    site = SmallSite(barcodes=[f"X{name}" for name in SmallSite().barcodes])
    legacy = SmallSite().write_legacy(tmp_path / "legacy")
    site.write_space_ranger(tmp_path, matrix=matrix, positions=positions, header=header)
    spots = read(tmp_path)
    same(spots, read_spots(legacy))
    assert spots.um_per_px == pytest.approx(100 / PITCH_PX)
    name = H5 if matrix == "h5" else "matrix.mtx.gz"
    assert spots.source == f"Space Ranger (Visium; {name}, {positions}, image S1.png)"
    assert spots.notes == ["Genes: 12 human names.", "Scale: 1.389 um/px, from the spot pitch (72.0 px for 100 um)."]


@pytest.mark.parametrize("path", [".", "outs", f"outs/{H5}"], ids=["parent", "outs", "matrix"])
def test_outs_its_parent_and_its_matrix_lead_to_the_slide(tmp_path, path):
    SmallSite().write_space_ranger(tmp_path)
    assert len(read_spots(tmp_path / path, tmp_path / "S1.png")) == 49


@pytest.mark.parametrize("inside", ["", "outs"], ids=["SAMPLE", "SAMPLE/outs"])
def test_folder_of_several_samples_names_them_and_asks_for_one(tmp_path, inside):
    for name in ("A1", "B1", "C1"):
        outs = SmallSite().write_space_ranger(tmp_path / "made" / name)
        (tmp_path / "runs" / name).parent.mkdir(exist_ok=True)
        (outs if not inside else outs.parent).rename(tmp_path / "runs" / name)
    (tmp_path / "runs" / "logs").mkdir()
    runs, image = tmp_path / "runs", tmp_path / "S1.png"
    SmallSite().write_image(tmp_path)
    one = re.escape(str(runs / "A1"))
    with pytest.raises(BadInput, match=rf"runs holds 3 slides \(A1, B1, C1\); give the path of one of them, such as {one}\.$"):
        read_spots(runs, image)
    assert read_spots(runs / "B1", image).source.startswith("Space Ranger (Visium; ")
    done = CliRunner().invoke(app, ["inspect", str(runs)])
    assert done.exit_code != 0
    assert isinstance(done.exception, BadInput)


def test_only_sample_of_a_folder_is_read_and_named(tmp_path):
    SmallSite().write_space_ranger(tmp_path / "runs" / "A1")
    (tmp_path / "runs" / "notes.tsv").write_text("a\tb\n1\t2\n")  # a table that belongs to no slide
    spots = read_spots(tmp_path / "runs", tmp_path / "runs" / "A1" / "S1.png")
    assert len(spots) == 49
    assert spots.notes[0] == "A1 is read, the only slide in runs."


def test_sample_beside_a_slide_of_another_format_is_not_passed_over(tmp_path):
    SmallSite().write_legacy(tmp_path)
    SmallSite().write_space_ranger(tmp_path / "A1")
    with pytest.raises(BadInput, match=r"holds 2 slides \(S1.tsv.gz, A1\); give the path of one of them"):
        read_spots(tmp_path)


def test_gene_ids_are_kept_beside_the_symbols(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path, kinds={"Gene1": "Antibody Capture"})
    found = space_ranger.read(outs, tmp_path / "S1.png", None, None)
    assert found.genes[:2] == ["Dense", "Gene2"]
    assert found.gene_ids[:2] == ["ENSG00000000000", "ENSG00000000002"]


@pytest.mark.parametrize("matrix", ["h5", "mtx"])
def test_only_genes_are_kept_of_the_features(tmp_path, matrix):
    site = SmallSite()
    site.write_space_ranger(tmp_path, matrix=matrix, kinds={"Gene1": "Antibody Capture", "Gene4": "Custom"})
    spots = read(tmp_path)
    assert spots.genes == [gene for gene in site.genes if gene not in ("Gene1", "Gene4")]
    assert np.array_equal(spots.counts.toarray(), np.delete(site.counts, [1, 4], axis=1))
    assert "2 features that are no genes are left out (Antibody Capture, Custom)." in spots.notes


def test_features_without_a_gene_are_refused(tmp_path):
    site = SmallSite()
    site.write_space_ranger(tmp_path, kinds=dict.fromkeys(site.genes, "Antibody Capture"))
    with pytest.raises(BadInput, match="holds no feature of type 'Gene Expression' but Antibody Capture; give gene counts"):
        read(tmp_path)


def test_genes_of_one_symbol_are_summed(tmp_path):
    site = SmallSite(genes=["Dense", "Dense", *[f"Gene{number}" for number in range(2, 12)]])
    site.write_space_ranger(tmp_path)
    spots = read(tmp_path)
    assert spots.counts[:, 0].toarray().ravel().tolist() == site.counts[:, :2].sum(axis=1).tolist()


def test_spots_off_tissue_are_left_out(tmp_path):
    SmallSite().write_space_ranger(tmp_path, off_tissue=5)
    spots = read(tmp_path)
    assert spots.barcodes == SmallSite().barcodes[5:]
    assert f"5 spots that {CSV} marks as off tissue are left out." in spots.notes


def test_no_spot_in_tissue_is_refused(tmp_path):
    SmallSite().write_space_ranger(tmp_path, off_tissue=49)
    with pytest.raises(BadInput, match="marks no spot as in tissue; check the tissue"):
        read(tmp_path)


def test_without_an_image_the_hires_copy_is_used_and_called_coarse(tmp_path):
    site = SmallSite()
    outs = site.write_space_ranger(tmp_path, hires=0.5)
    spots = read_spots(outs)
    assert spots.slide.path == outs / "spatial" / "tissue_hires_image.png"
    assert np.allclose(spots.centres, site.centres / 2)
    assert spots.um_per_px == pytest.approx(200 / PITCH_PX)
    assert spots.notes[0].startswith(
        "tissue_hires_image.png is used, a coarse copy (scale factor 0.5); pass the full-resolution"
    )


def test_without_any_image_one_is_asked_for(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    (outs / "spatial" / "tissue_hires_image.png").unlink()
    with pytest.raises(BadInput, match=r"no tissue_hires_image.png in .*spatial; pass the full-resolution image with --image"):
        read_spots(outs)
    assert read(tmp_path).slide.path.name == "S1.png"


@pytest.mark.parametrize("factor", [0.5, 0.75, 2.0], ids=["as-hires", "smaller", "larger"])
def test_resized_copy_of_the_image_is_told_by_the_hires_image(tmp_path, factor):
    site = SmallSite()
    outs = site.write_space_ranger(tmp_path)
    copy = tmp_path / "copy.png"
    Image.fromarray(site.pixels).resize((round(600 * factor),) * 2).save(copy)
    spots = read_spots(outs, copy)
    assert np.allclose(spots.centres, site.centres * factor)
    assert spots.um_per_px == pytest.approx(100 / PITCH_PX / factor)
    assert f"copy.png is the full-resolution image resized by {factor:.4g}; positions were scaled with it." in spots.notes


def test_image_of_another_shape_is_refused(tmp_path):
    site = SmallSite()
    outs = site.write_space_ranger(tmp_path)
    Image.fromarray(site.pixels[:500]).save(tmp_path / "cropped.png")
    with pytest.raises(
        BadInput, match=r"cropped.png has 600 x 500 px, but the image that Space Ranger was given has about 600 x 600"
    ):
        read_spots(outs, tmp_path / "cropped.png")


def write_hd(folder, *sizes):
    for size in sizes:
        SmallSite().write_space_ranger(folder, positions=PARQUET, bin_um=size)
    return folder / "outs" / "binned_outputs"


def test_bins_of_16_um_are_read_by_default(tmp_path):
    write_hd(tmp_path, 2, 8, 16)
    spots = read(tmp_path)
    assert spots.um_per_px == pytest.approx(16 / PITCH_PX)
    assert np.array_equal(spots.centres, SmallSite().centres)
    assert spots.source == f"Space Ranger (Visium HD, bins of 16 um; {H5}, {PARQUET}, image S1.png)"
    assert (
        "square_016um is read; give the path of square_002um or square_008um in binned_outputs for other bins." in spots.notes
    )
    assert "Bins of 16 um lie closer than a patch is wide: patches of neighbouring bins overlap." in spots.notes


@pytest.mark.parametrize("path", ["square_008um", f"square_008um/{H5}"])
def test_bins_that_are_named_are_read(tmp_path, path):
    binned = write_hd(tmp_path, 8, 16)
    spots = read_spots(binned / path, tmp_path / "S1.png")
    assert spots.um_per_px == pytest.approx(8 / PITCH_PX)
    assert not any("square_" in note for note in spots.notes)


def test_only_size_of_bins_and_the_folder_of_bins_are_read(tmp_path):
    binned = write_hd(tmp_path, 8)
    assert "bins of 8 um" in read_spots(binned, tmp_path / "S1.png").source


def test_folder_of_bins_without_bins_is_refused(tmp_path):
    (tmp_path / "outs" / "binned_outputs").mkdir(parents=True)
    with pytest.raises(BadInput, match="holds no bins; copy binned_outputs/square_016um"):
        read_spots(tmp_path)


@pytest.mark.parametrize(("bin_um", "name"), [(None, "spot_diameter_fullres"), (16, "microns_per_pixel")])
def test_scale_factors_that_disagree_with_the_spots_are_told(tmp_path, bin_um, name):
    outs = SmallSite().write_space_ranger(tmp_path, bin_um=bin_um)
    spatial = outs / "spatial" if bin_um is None else outs / "binned_outputs" / "square_016um" / "spatial"
    scale = (bin_um or 100) / PITCH_PX
    factors_of(spatial, **{name: 65 / (2 * scale) if bin_um is None else 2 * scale})
    spots = read(tmp_path)
    assert spots.um_per_px == pytest.approx(scale)
    warning = (
        f"Warning: the spot pitch gives {scale:.4g} um/px and scalefactors_json.json {2 * scale:.4g}; the spot pitch is used."
    )
    assert any(note.startswith(warning) for note in spots.notes)
    given = read(tmp_path, um_per_px=2 * scale)
    assert given.um_per_px == 2 * scale
    assert any("--um-per-px is used" in note for note in given.notes)


def test_scale_factors_off_by_less_than_a_tenth_are_not_mentioned(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    factors_of(outs / "spatial", spot_diameter_fullres=0.65 * PITCH_PX * 1.08)
    assert not any("Warning" in note for note in read(tmp_path).notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tissue_hires_scalef": None}, "gives null as tissue_hires_scalef, where a number above 0 is needed"),
        ({"tissue_hires_scalef": 0}, "gives 0 as tissue_hires_scalef"),
        ({"spot_diameter_fullres": -3.0}, "gives -3.0 as spot_diameter_fullres"),
        ({"spot_diameter_fullres": "wide"}, 'gives "wide" as spot_diameter_fullres'),
        ({"spot_diameter_fullres": True}, "gives true as spot_diameter_fullres"),
        ({"spot_diameter_fullres": float("nan")}, "gives NaN as spot_diameter_fullres"),
        ({"bin_size_um": 16.0}, "gives null as microns_per_pixel"),
    ],
)
def test_scale_factor_that_is_none_is_refused(tmp_path, change, message):
    outs = SmallSite().write_space_ranger(tmp_path)
    factors_of(outs / "spatial", **change)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe\x00", "cannot be read as JSON"),
        (b"[1, 2]", "holds no JSON object with factors"),
        (b"[" * 200_000, "cannot be read as JSON"),
        (b" " * ((1 << 20) + 1), "has more than 1,048,576 bytes, too many for scale factors"),
    ],
    ids=["cut", "binary", "list", "deep", "huge"],
)
def test_scale_factors_that_are_none_are_refused(tmp_path, content, message):
    outs = SmallSite().write_space_ranger(tmp_path)
    (outs / "spatial" / "scalefactors_json.json").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("spatial/scalefactors_json.json", r"no scalefactors_json.json in .*copy the whole spatial folder"),
        (f"spatial/{CSV}", rf"no {CSV}, {PARQUET} or {LIST} in .*spatial; copy one"),
        (H5, rf"no {H5} and no folder {MTX} in .*outs; copy one"),
    ],
)
def test_missing_file_is_named(tmp_path, missing, message):
    outs = SmallSite().write_space_ranger(tmp_path)
    (outs / missing).unlink()
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize("missing", ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"])
def test_missing_file_of_the_text_matrix_is_named(tmp_path, missing):
    outs = SmallSite().write_space_ranger(tmp_path, matrix="mtx")
    (outs / MTX / missing).unlink()
    with pytest.raises(BadInput, match=f"There is no file .*{missing}"):
        read(tmp_path)


def test_wrong_hires_scale_factor_is_refused(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    factors_of(outs / "spatial", tissue_hires_scalef=1.0)
    with pytest.raises(BadInput, match=r"spots lie outside tissue_hires_image\.png"):
        read_spots(outs)


def test_rows_and_columns_that_are_swapped_are_refused(tmp_path):
    site = SmallSite()
    white = site.pixels.copy()
    white[280:] = 243  # tissue above, where the spots of the first three rows are
    top = SmallSite(centres=site.centres[:21, ::-1], counts=site.counts[:21], barcodes=site.barcodes[:21], pixels=white)
    top.write_space_ranger(tmp_path)
    with pytest.raises(BadInput, match=r"Only \d+% of the spots lie on tissue in S1.png; with x and y swapped 100% would"):
        read(tmp_path)


def test_barcodes_that_do_not_match_are_refused(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    positions = outs / "spatial" / CSV
    positions.write_text(positions.read_text().replace(",1,", "-1,1,", 1).replace("x", "y"))
    text = positions.read_text().splitlines()
    positions.write_text("\n".join([text[0].replace("py", "px"), *text[1:]]))
    with pytest.raises(BadInput, match=rf"{H5} \(such as '2x2'\) and {CSV} \(such as '2y2-1'\) have no spot in common"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pxl_row_in_fullres", "row", "has no column 'pxl_row_in_fullres' but barcode, in_tissue"),
        ("in_tissue", "inside", "has no column 'in_tissue'"),
        ("156.0", "east", "has 'east' in column 'pxl_col_in_fullres', row 3"),
        ("156.0", "nan", "has 'nan' in column 'pxl_col_in_fullres', row 3"),
        ("156.0", "1e300", "has '3x2' at pixel 1e[+]300, beyond any image"),
        ("156.0", "-156.0", "some positions are negative"),
        (",0,0,", ",0,", "has 5 cells in row 2 and 6 in its header"),
    ],
)
def test_table_of_positions_that_is_wrong_is_refused(tmp_path, old, new, message):
    outs = SmallSite().write_space_ranger(tmp_path)
    positions = outs / "spatial" / CSV
    positions.write_text(positions.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("156.0", "east", "has 'east' in column 'pxl_col_in_fullres', row 2"),
        (",0,0,", ",0,", "has 5 cells in row 1 and 6 columns are expected"),
    ],
)
def test_list_of_positions_without_header_counts_its_rows_from_one(tmp_path, old, new, message):
    outs = SmallSite().write_space_ranger(tmp_path, positions=LIST, header=False)
    positions = outs / "spatial" / LIST
    positions.write_text(positions.read_text().replace(old, new, 1))
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


def test_empty_table_of_positions_is_refused(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    (outs / "spatial" / CSV).write_text("")
    with pytest.raises(BadInput, match="is empty"):
        read(tmp_path)


def rewrite_parquet(path, change):
    import pandas as pd

    table = pd.read_parquet(path)
    change(table).to_parquet(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="in_tissue"), "has no column 'in_tissue' but 'barcode', 'array_row'"),
        (lambda table: table.assign(pxl_row_in_fullres=np.nan), "has no finite number in column 'pxl_row_in_fullres' of '2x2'"),
        (lambda table: table.assign(in_tissue="yes"), "cannot be read as a Parquet table"),
        (lambda table: table.assign(barcode=None), "cannot be read as a Parquet table"),
        (lambda table: table.iloc[:0], "marks no spot as in tissue"),
    ],
    ids=["column", "nan", "text", "no-barcodes", "empty"],
)
def test_parquet_of_positions_that_is_wrong_is_refused(tmp_path, change, message):
    outs = SmallSite().write_space_ranger(tmp_path, positions=PARQUET)
    rewrite_parquet(outs / "spatial" / PARQUET, change)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["category", "large_string[pyarrow]", "string[pyarrow]"])
def test_parquet_barcodes_of_any_kind_of_text_are_read(tmp_path, kind):
    import pandas as pd
    import pyarrow as pa

    outs = SmallSite().write_space_ranger(tmp_path, positions=PARQUET)
    kind = pd.ArrowDtype(pa.large_string()) if kind.startswith("large") else kind
    rewrite_parquet(outs / "spatial" / PARQUET, lambda table: table.astype({"barcode": kind}))
    assert read(tmp_path).barcodes == SmallSite().barcodes


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    SmallSite().write_space_ranger(tmp_path, positions=PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInput, match=r"needs pyarrow; install it with: pip install 'c2lst\[tables\]'"):
        read(tmp_path)


def test_parquet_of_too_many_positions_is_refused_before_it_is_read(tmp_path, monkeypatch):
    SmallSite().write_space_ranger(tmp_path, positions=PARQUET)
    monkeypatch.setattr(space_ranger_spatial, "MAX_POSITIONS", 48)
    with pytest.raises(BadInput, match=r"holds 49 positions \(.* bytes\); give larger bins: square_016um"):
        read(tmp_path)


def change_h5(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


def _no_matrix(file):
    file.move("matrix", "GRCh38")


def _no_names(file):
    del file["matrix/features/name"]


def _huge(file):
    del file["matrix/data"]
    file["matrix"].create_dataset("data", shape=(1 << 40,), dtype="i4", chunks=(1 << 16,))


def _many_barcodes(file):
    del file["matrix/barcodes"]
    file["matrix"].create_dataset("barcodes", shape=(1 << 30,), dtype="S18", chunks=(1 << 16,))


def _far_index(file):
    file["matrix/indices"][3] = 1 << 40


def _backward_starts(file):
    file["matrix/indptr"][4] = 1 << 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_matrix, "has no group 'matrix'; give the filtered_feature_bc_matrix.h5"),
        (_no_names, "cannot be read as a matrix of Space Ranger"),
        (replaced("matrix/shape", [49, 12]), "is 49 x 12 for 12 features and 49 barcodes; it seems transposed"),
        (replaced("matrix/shape", [12, 50]), "is 12 x 50 for 12 features and 49 barcodes; copy it again"),
        (replaced("matrix/shape", [12]), "is 12 for 12 features and 49 barcodes"),
        (replaced("matrix/shape", 12), r"holds /matrix/shape as int64 \(\), not as a row"),
        (replaced("matrix/data", np.ones((3, 3))), r"holds /matrix/data as float64 \(3, 3\), not as a row"),
        (replaced("matrix/indptr", np.arange(13)), "cannot be read as a matrix of Space Ranger"),
        (replaced("matrix/features/id", [b"one"]), r"has \[1, 12\] ids, names and types of features"),
        (replaced("matrix/barcodes", np.arange(49)), "cannot be read as a matrix of Space Ranger"),
        (_huge, "not as a row of at most 268,435,456 numbers; give the matrix of one slide"),
        (_many_barcodes, r"holds /matrix/barcodes of shape \(1073741824,\)"),
        (_far_index, "cannot be read as a matrix of Space Ranger"),
        (_backward_starts, "cannot be read as a matrix of Space Ranger"),
    ],
)
def test_h5_that_is_wrong_is_refused(tmp_path, change, message):
    outs = SmallSite().write_space_ranger(tmp_path)
    change_h5(outs / H5, change)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


def test_h5_with_strings_of_variable_length_is_read_up_to_a_limit(tmp_path, monkeypatch):
    outs = SmallSite().write_space_ranger(tmp_path)
    change_h5(outs / H5, replaced("matrix/barcodes", SmallSite().barcodes))
    assert read(tmp_path).barcodes == SmallSite().barcodes
    change_h5(outs / H5, replaced("matrix/barcodes", ["x" * 100] * 49))
    monkeypatch.setattr(space_ranger_matrix, "MAX_NAME_BYTES", 1000)
    with pytest.raises(BadInput, match="holds /matrix/barcodes of more than 1,000 bytes"):
        read(tmp_path)


def test_h5_that_is_something_else_is_refused(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    (outs / H5).write_text("hello")
    with pytest.raises(BadInput, match="cannot be read as a matrix of Space Ranger"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"), [(H5, "a matrix of Space Ranger"), (f"spatial/{PARQUET}", "a Parquet table")], ids=["h5", "parquet"]
)
def test_binary_file_that_is_cut_short_is_refused(tmp_path, name, kind):
    outs = SmallSite().write_space_ranger(tmp_path, positions=PARQUET)
    content = (outs / name).read_bytes()
    (outs / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=rf"cannot be read as {kind} \(.*\); copy it again from Space Ranger's outs"):
        read(tmp_path)


def test_matrix_with_spots_for_features_is_refused(tmp_path):
    """Both the counts and the names are transposed, so that only the positions tell."""
    site = SmallSite()
    outs = site.write_space_ranger(tmp_path)
    turned = SmallSite(counts=site.counts.T, genes=site.barcodes, barcodes=site.genes, centres=site.centres[:12])
    turned.write_space_ranger(tmp_path / "turned")
    (tmp_path / "turned" / "outs" / H5).replace(outs / H5)
    with pytest.raises(BadInput, match="have no spot in common; its columns carry the spots' names: transpose it"):
        read(tmp_path)


@pytest.mark.parametrize("matrix", ["h5", "mtx"])
@pytest.mark.parametrize(
    ("value", "message"),
    [(-4.0, "holds the negative count -4"), (0.5, "so it looks log-transformed"), (1e12, "too large for a count")],
)
def test_counts_that_are_none_are_refused(tmp_path, matrix, value, message):
    site = SmallSite()
    site.counts = np.minimum(site.counts, 25).astype(float)
    site.counts[3, 4] = value
    if matrix == "h5" and value == 1e12:
        site.counts[0, 0] = 0.5  # so that it is written as floats; the larger one is named only when all are whole
        message = "so it looks"
    site.write_space_ranger(tmp_path, matrix=matrix)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


def rewrite_gzip(path, change):
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("matrix.mtx.gz", lambda text: b"hello\n" + text, "does not begin like a Matrix Market file of counts"),
        ("matrix.mtx.gz", lambda text: text.replace(b"coordinate", b"array"), "does not begin like a Matrix Market file"),
        (
            "matrix.mtx.gz",
            lambda text: text.replace(b"12 49 ", b"49 12 "),
            "is 49 x 12 for 12 features and 49 barcodes; it seems transposed",
        ),
        ("matrix.mtx.gz", lambda text: text.replace(b"12 49 ", b"12 48 "), "is 12 x 48 for 12 features and 49 barcodes"),
        (
            "matrix.mtx.gz",
            lambda text: text.replace(b"12 49 ", b"12 49 9"),
            r"claims 9\d+ counts|claims 9,\d+ counts in 12 x 49 places",
        ),
        ("matrix.mtx.gz", lambda text: text.replace(b"12 49 ", b"twelve 49 "), "does not give its numbers of features"),
        ("matrix.mtx.gz", lambda text: b"\n".join(text.split(b"\n")[:2]), "does not give its numbers of features"),
        (
            "matrix.mtx.gz",
            lambda text: text[: text.index(b"\n3 20 ")],
            r"holds \d+ of the 563 counts that its header announces",
        ),
        (
            "matrix.mtx.gz",
            lambda text: text.replace(b"\n3 2 ", b"\n99 2 "),
            "holds counts beyond the 563 in 12 x 49 of its header",
        ),
        (
            "matrix.mtx.gz",
            lambda text: text.replace(b"\n3 2 ", b"\n0 2 "),
            "holds counts beyond the 563 in 12 x 49 of its header",
        ),
        ("matrix.mtx.gz", lambda text: text.replace(b"\n3 2 ", b"\n3 2 1 "), "cannot be read as a Matrix Market file"),
        ("matrix.mtx.gz", lambda text: text.replace(b"\n3 2 ", b"\nthree 2 "), "cannot be read as a Matrix Market file"),
        ("matrix.mtx.gz", lambda text: text.replace(b"\n3 2 ", b"\n3.5 2 "), "cannot be read as a Matrix Market file"),
        (
            "matrix.mtx.gz",
            lambda text: text.replace(b"\n3 2 ", b"\n3 2 0.5\n3 2 ").replace(b" 563\n", b" 564\n"),
            "so it looks",
        ),
        ("matrix.mtx.gz", lambda _: b"", "does not begin like a Matrix Market file"),
        (
            "features.tsv.gz",
            lambda text: text.replace(b"\tGene Expression", b""),
            "has 2 columns in row 1 instead of id, name and type",
        ),
        ("features.tsv.gz", lambda text: text[: len(text) // 2], "is 12 x 49 for|columns in row"),
        ("features.tsv.gz", lambda _: b"", "is 12 x 49 for 0 features and 49 barcodes"),
        ("barcodes.tsv.gz", lambda text: text[:20], "barcodes; copy it again"),
        ("barcodes.tsv.gz", lambda _: b"\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_text_matrix_that_is_wrong_is_refused(tmp_path, name, change, message):
    outs = SmallSite().write_space_ranger(tmp_path, matrix="mtx")
    rewrite_gzip(outs / MTX / name, change)
    with pytest.raises(BadInput, match=message):
        read(tmp_path)


@pytest.mark.parametrize("name", ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"])
def test_gzip_bomb_is_refused(tmp_path, monkeypatch, name):
    outs = SmallSite().write_space_ranger(tmp_path, matrix="mtx")
    monkeypatch.setattr(space_ranger_matrix, "MAX_NAME_BYTES", 1_000_000)
    rewrite_gzip(outs / MTX / name, lambda text: text + b"1\t1\t0\n" * 1_000_000)
    message = "is larger than 1,000,000 bytes unpacked" if name != "matrix.mtx.gz" else "holds counts beyond the 563 in 12 x 49"
    with pytest.raises(BadInput, match=rf"{name} {message}"):
        read(tmp_path)


def test_endless_header_is_refused(tmp_path, monkeypatch):
    outs = SmallSite().write_space_ranger(tmp_path, matrix="mtx")
    monkeypatch.setattr(tables, "MAX_LINE_BYTES", 1 << 20)
    rewrite_gzip(outs / MTX / "matrix.mtx.gz", lambda text: text.replace(b"%metadata", b"%" * 2_000_000))
    with pytest.raises(BadInput, match="or has endless lines: is it a table"):
        read(tmp_path)


def test_matrix_that_is_not_compressed_is_read(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path, matrix="mtx")
    for path in (outs / MTX).iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
    assert np.array_equal(read(tmp_path).counts.toarray(), SmallSite().counts)


def test_paths_beyond_ascii_are_read(tmp_path):
    for matrix in ("h5", "mtx"):
        folder = tmp_path / f"Gewebe µ 組織 {matrix}"
        SmallSite().write_space_ranger(folder, matrix=matrix, positions=PARQUET)
        assert len(read(folder)) == 49


def test_nothing_is_written_so_that_a_folder_may_be_read_only(tmp_path):
    outs = SmallSite().write_space_ranger(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for folder in (outs / "spatial", outs):
        folder.chmod(0o555)
    try:
        assert len(read_spots(outs)) == 49
        assert sorted(tmp_path.rglob("*")) == before
    finally:
        for folder in (outs, outs / "spatial"):
            folder.chmod(0o755)


DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)
FILES = {
    "h5": H5,
    "matrix": f"{MTX}/matrix.mtx.gz",
    "features": f"{MTX}/features.tsv.gz",
    "barcodes": f"{MTX}/barcodes.tsv.gz",
    "csv": f"spatial/{CSV}",
    "parquet": f"spatial/{PARQUET}",
    "factors": "spatial/scalefactors_json.json",
    "hires": "spatial/tissue_hires_image.png",
}


def spoiled(content, damage, share):
    """Overwrite some bytes, and keep only a share of them."""
    content = bytearray(content)
    for where, value in damage:
        content[int(where * len(content))] = value
    return bytes(content[: max(int(share * len(content)), 1)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "inside"),
    [(name, False) for name in FILES] + [(name, True) for name, path in FILES.items() if path.endswith(".gz")],
)
def test_damage_anywhere_is_read_or_refused_but_never_crashes(name, inside):
    site = SmallSite()
    with tempfile.TemporaryDirectory() as folder:
        matrix = "mtx" if MTX + "/" in FILES[name] else "h5"
        outs = site.write_space_ranger(Path(folder), matrix=matrix, positions=PARQUET if name == "parquet" else CSV)
        path = outs / FILES[name]
        whole = path.read_bytes()

        @TRIES
        @given(DAMAGE, st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1)))
        def spoil_and_read(damage, share):
            if inside:
                path.write_bytes(gzip.compress(spoiled(gzip.decompress(whole), damage, share), 1))
            else:
                path.write_bytes(spoiled(whole, damage, share))
            try:
                spots = read_spots(outs)
            except BadInput:
                return
            assert len(spots) >= 20

        spoil_and_read()


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["h5", "mtx"])
def test_mouse_olfactory_bulb_is_the_same_through_space_ranger(tmp_path, matrix):
    legacy = read_spots(DATA / "mob" / "site")
    site = SmallSite(
        centres=legacy.centres,
        counts=legacy.counts,
        genes=legacy.genes,
        barcodes=legacy.barcodes,
        pixels=legacy.slide.shrunk(1),
    )
    site.write_space_ranger(tmp_path, matrix=matrix, hires=0.8)
    factors_of(tmp_path / "outs" / "spatial", spot_diameter_fullres=65 / (legacy.um_per_px / 2))
    spots = read(tmp_path)
    same(spots, legacy)
    assert not any("Warning" in note for note in spots.notes)
    assert spots.um_per_px == pytest.approx(legacy.um_per_px / 2)  # 100 um from spot to spot instead of 200


@pytest.mark.slow
def test_fifty_thousand_bins_are_read_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    ticks = 10.0 + 4 * np.arange(224)
    centres = np.array([(x, y) for y in ticks for x in ticks])[:50_000]
    counts = scipy.sparse.random_array((50_000, 2_000), density=0.05, rng=rng, format="csr")
    counts.data = rng.integers(1, 9, counts.nnz)
    pixels = np.asarray(Image.fromarray(SmallSite().pixels).resize((920, 920)))
    site = SmallSite(
        centres=centres,
        counts=counts,
        genes=[f"G{number}" for number in range(2_000)],
        barcodes=[f"s_016um_{spot:05d}-1" for spot in range(50_000)],
        pixels=pixels,
    )
    site.write_space_ranger(tmp_path, positions=PARQUET, bin_um=16)
    began = time.perf_counter()
    spots = read(tmp_path)
    assert time.perf_counter() - began < 20  # about 1 s on a quiet machine
    assert len(spots) == 50_000
    assert spots.um_per_px == pytest.approx(4.0)
