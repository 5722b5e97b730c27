"""AnnData files: positions, raw counts and image are found where the field puts them, or the file is refused."""

import tempfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse
from fakes.small_site import SmallSite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput

SCALE = 2.78
TRIES = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rewritten(path, change):
    """Read the file, let `change` alter the AnnData, write it again."""
    data = anndata.read_h5ad(path)
    change(data)
    data.write_h5ad(path)
    return path


def test_file_with_an_image_beside_it_reads_as_written(tmp_path):
    site = SmallSite()
    spots = read_spots(site.write_h5ad(tmp_path), um_per_px=SCALE)
    assert spots.barcodes == site.barcodes
    assert spots.genes == site.genes
    assert spots.counts.dtype == np.int32
    assert np.array_equal(spots.counts.toarray(), site.counts)
    assert np.array_equal(spots.centres, site.centres)
    assert spots.source == "AnnData (S1.h5ad, image S1.png)"
    assert spots.notes == ["Raw counts: X.", "Scale: 2.78 um/px, as given."]


def test_folder_with_one_file_leads_to_it(tmp_path):
    SmallSite().write_h5ad(tmp_path)
    assert len(read_spots(tmp_path, um_per_px=SCALE)) == 49


def test_stored_image_becomes_the_slide_and_its_scale_factor_is_applied(tmp_path):
    site = SmallSite()
    spots = read_spots(site.write_h5ad(tmp_path, hires=0.25), image_folder=tmp_path / "work")
    assert spots.slide.path == tmp_path / "work" / "S1.hires.png"
    assert np.array_equal(spots.slide.shrunk(1), site.pixels)
    assert np.allclose(spots.centres, site.centres)
    assert spots.um_per_px == pytest.approx(100 / 72)  # Visium: 100 um from spot to spot
    assert "The hires image stored in S1.h5ad is used (scale factor 0.25)." in spots.notes


def test_stored_image_goes_beside_the_file_by_default(tmp_path):
    spots = read_spots(SmallSite().write_h5ad(tmp_path, hires=0.25))
    assert spots.slide.path == tmp_path / "S1.hires.png"


def test_stored_image_of_bytes_with_transparency_is_used(tmp_path):
    site = SmallSite()

    def as_bytes(data):
        opaque = np.full((*site.pixels.shape[:2], 1), 255, np.uint8)
        data.uns["spatial"]["library"]["images"]["hires"] = np.concatenate([site.pixels, opaque], axis=2)

    spots = read_spots(rewritten(site.write_h5ad(tmp_path, hires=0.25), as_bytes))
    assert np.array_equal(spots.slide.shrunk(1), site.pixels)


def test_given_full_resolution_image_wins_over_the_stored_one(tmp_path):
    site = SmallSite()
    path = site.write_h5ad(tmp_path, hires=0.5)
    large = tmp_path / "full.png"
    Image.fromarray(site.pixels).resize((1200, 1200)).save(large)
    spots = read_spots(path, image=large)
    assert np.allclose(spots.centres, 2 * site.centres)
    assert spots.um_per_px == pytest.approx(100 / 144)


def test_given_copy_of_the_stored_image_gets_the_scale_factor(tmp_path):
    site = SmallSite()
    path = site.write_h5ad(tmp_path, hires=0.5)
    copy = tmp_path / "tissue_hires_image.png"
    Image.fromarray(site.pixels).save(copy)
    spots = read_spots(path, image=copy)
    assert np.allclose(spots.centres, site.centres)
    assert "tissue_hires_image.png is as large as the stored hires image: its scale factor was applied." in spots.notes


def test_given_smaller_image_is_refused_with_the_cause(tmp_path):
    site = SmallSite()
    path = site.write_h5ad(tmp_path, hires=0.25)
    small = tmp_path / "small.png"
    Image.fromarray(site.pixels).resize((300, 300)).save(small)
    with pytest.raises(BadInput, match=r"49 of 49 spots lie outside small.png .*seems to be a smaller copy \(at least 6.9 x\)"):
        read_spots(path, image=small)


def test_spots_off_tissue_are_left_out(tmp_path):
    def mark(data):
        data.obs["in_tissue"] = [0, 0, 0] + [1] * 46

    spots = read_spots(rewritten(SmallSite().write_h5ad(tmp_path), mark), um_per_px=SCALE)
    assert spots.barcodes == SmallSite().barcodes[3:]
    assert "3 spots that S1.h5ad marks as off tissue are left out." in spots.notes


def _log(data):
    data.X = scipy.sparse.csr_matrix(np.log1p(data.X.toarray()).astype(np.float32))


def _counts_layer(data):
    data.layers["counts"] = data.X.copy()
    _log(data)


def _raw(data):
    data.raw = data.copy()
    _log(data)


def _raw_is_log(data):
    whole = data.X.copy()
    _log(data)
    data.raw = data.copy()
    data.X = whole


def _dense(data):
    data.X = data.X.toarray()


def _by_column(data):
    data.X = scipy.sparse.csc_matrix(data.X)


@pytest.mark.parametrize(
    ("change", "place"),
    [(_counts_layer, "layers/counts"), (_raw, "raw/X"), (_raw_is_log, "X"), (_dense, "X"), (_by_column, "X")],
)
def test_raw_counts_are_found_where_they_are(tmp_path, change, place):
    site = SmallSite()
    spots = read_spots(rewritten(site.write_h5ad(tmp_path), change), um_per_px=SCALE)
    assert np.array_equal(spots.counts.toarray(), site.counts)
    assert f"Raw counts: {place}." in spots.notes


def test_raw_with_more_genes_brings_its_own_names(tmp_path):
    def fewer(data):
        data.raw = data.copy()
        _log(data)
        data._inplace_subset_var(data.var_names[:3])

    spots = read_spots(rewritten(SmallSite().write_h5ad(tmp_path), fewer), um_per_px=SCALE)
    assert spots.genes == SmallSite().genes


def test_log_transformed_counts_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"X of S1.h5ad holds .* so it looks log-transformed; give the raw counts"):
        read_spots(rewritten(SmallSite().write_h5ad(tmp_path), _log), um_per_px=SCALE)


def test_normalised_counts_are_refused(tmp_path):
    def normalise(data):
        data.X = scipy.sparse.csr_matrix(data.X.toarray() / data.X.toarray().sum(axis=1, keepdims=True) * 1e4)

    with pytest.raises(BadInput, match="so it looks normalised"):
        read_spots(rewritten(SmallSite().write_h5ad(tmp_path), normalise), um_per_px=SCALE)


@pytest.mark.slow
@TRIES
@given(
    value=st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0, 0.5, 1e20]),
    row=st.integers(0, 48),
    column=st.integers(0, 11),
    dense=st.booleans(),
)
def test_one_bad_count_anywhere_is_refused(value, row, column, dense):
    def spoil(data):
        counts = data.X.toarray()
        counts[row, column] = value
        data.X = counts if dense else scipy.sparse.csr_matrix(counts)

    with tempfile.TemporaryDirectory() as folder:
        path = rewritten(SmallSite().write_h5ad(Path(folder)), spoil)
        with pytest.raises(BadInput, match=r"S1\.h5ad holds"):
            read_spots(path, um_per_px=SCALE)


def _no_positions(data):
    del data.obsm["spatial"]


def _nan_position(data):
    data.obsm["spatial"][5, 1] = np.nan


def _one_column(data):
    data.obsm["spatial"] = data.obsm["spatial"][:, :1]


def _outside(data):
    data.obsm["spatial"][5] = (5000, 10)


def _two_slides(data):
    factors = {"tissue_hires_scalef": 0.5}
    data.uns["spatial"] = {name: {"scalefactors": factors, "images": {}} for name in ("one", "two")}


def _bad_scale(data):
    data.uns["spatial"] = {"one": {"scalefactors": {"tissue_hires_scalef": -1.0}, "images": {"hires": np.ones((4, 4, 3))}}}


def _text_scale(data):
    data.uns["spatial"] = {"one": {"scalefactors": {"tissue_hires_scalef": "half"}, "images": {"hires": np.ones((4, 4, 3))}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_positions, r"has no obsm\['spatial'\]; store each spot's centre there"),
        (_nan_position, "has no finite position for spot 6"),
        (_one_column, "it should be 49 rows of x and y"),
        (_outside, r"1 of 49 spots lie outside S1.png \(600 x 600 px\), such as '7x2' at \(5000.0, 10.0\)"),
        (_two_slides, r"holds 2 slides \(one, two\); save each as its own file"),
        (_bad_scale, "has tissue_hires_scalef -1.0, which is not between 0 and 1"),
        (_text_scale, "cannot be read as AnnData"),
    ],
)
def test_file_without_usable_positions_is_refused(tmp_path, change, message):
    path = rewritten(SmallSite().write_h5ad(tmp_path), change)
    with pytest.raises(BadInput, match=message):
        read_spots(path, um_per_px=SCALE)


def test_unknown_scale_is_asked_for(tmp_path):
    with pytest.raises(BadInput, match="The scale of this image is not known; pass --um-per-px"):
        read_spots(SmallSite().write_h5ad(tmp_path))


def test_missing_image_is_asked_for(tmp_path):
    path = SmallSite().write_h5ad(tmp_path)
    (tmp_path / "S1.png").unlink()
    with pytest.raises(BadInput, match=r"no image S1.jpg \(or .png, .tif\) beside S1.h5ad; pass its path with --image"):
        read_spots(path, um_per_px=SCALE)


def test_two_spots_of_one_name_are_refused(tmp_path):
    path = SmallSite().write_h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        file["obs/_index"][1] = file["obs/_index"][0]
    with pytest.raises(BadInput, match=r"S1.h5ad has the spot '2x2' 2 times; keep one of them"):
        read_spots(path, um_per_px=SCALE)


def test_genes_that_come_twice_are_summed(tmp_path):
    path = SmallSite().write_h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        file["var/_index"][4] = "Dense"
    spots = read_spots(path, um_per_px=SCALE)
    expected = SmallSite().counts[:, 0] + SmallSite().counts[:, 4]
    assert spots.counts[:, 0].toarray().ravel().tolist() == expected.tolist()
    assert len(spots.genes) == 11
    assert "Genes: 11 names; 1 name came more than once and was summed, such as Dense." in spots.notes


def test_sparse_indices_beyond_the_matrix_are_refused(tmp_path):
    path = SmallSite().write_h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][3] = 10_000
    with pytest.raises(BadInput, match="cannot be read as AnnData"):
        read_spots(path, um_per_px=SCALE)


def test_element_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path):
    path = SmallSite().write_h5ad(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["X/data"]
        file["X"].create_dataset("data", shape=(1 << 34,), dtype="f4", chunks=(1 << 16,))
    with pytest.raises(BadInput, match=r"holds /X/data of 64.0 GiB unpacked"):
        read_spots(path, um_per_px=SCALE)


@pytest.mark.slow
@TRIES
@given(share=st.floats(0, 0.999))
def test_file_cut_short_is_refused(share):
    with tempfile.TemporaryDirectory() as folder:
        path = SmallSite().write_h5ad(Path(folder))
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with pytest.raises(BadInput, match="cannot be read as AnnData"):
            read_spots(path, um_per_px=SCALE)


@pytest.mark.slow
@settings(TRIES, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_anywhere_is_read_or_refused_but_never_crashes(damage):
    with tempfile.TemporaryDirectory() as folder:
        path = SmallSite().write_h5ad(Path(folder))
        content = bytearray(path.read_bytes())
        for where, value in damage:
            content[int(where * len(content))] = value
        path.write_bytes(content)
        try:
            spots = read_spots(path, um_per_px=SCALE)
        except BadInput:
            return
        assert len(spots) >= 20


def test_file_that_is_no_anndata_is_refused(tmp_path):
    (tmp_path / "a.h5ad").write_text("hello")
    with pytest.raises(BadInput, match="cannot be read as AnnData"):
        read_spots(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "b.h5ad", "w") as file:
        file["something"] = 1
    with pytest.raises(BadInput, match="cannot be read as AnnData"):
        read_spots(tmp_path / "b.h5ad")
