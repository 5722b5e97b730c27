"""A path leads to the one slide that it means; whatever else it leads to is refused with what to do."""

import os
from pathlib import Path

import numpy as np
import pytest
from fakes.hest_site import write_hest
from fakes.small_site import SmallSite
from fakes.tiffs import write_ome
from PIL import Image

from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput

DATA = Path(os.environ.get("C2LST_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real tissue at {DATA}; set C2LST_DATA")


@pytest.mark.parametrize("name", ["", "S1.tsv.gz", "S1_spots.tsv"], ids=["folder", "counts", "spot-table"])
def test_folder_and_each_of_its_tables_lead_to_the_slide(tmp_path, name):
    SmallSite().write_legacy(tmp_path)
    spots = read_spots(tmp_path / name)
    assert len(spots) == 49
    assert spots.slide.path == tmp_path / "S1.png"


def test_folder_with_several_slides_asks_for_one(tmp_path):
    SmallSite().write_legacy(tmp_path)
    SmallSite(name="S2").write_legacy(tmp_path, "selection")
    with pytest.raises(BadInput, match=r"holds 2 slides \(S1.tsv.gz, S2.tsv.gz\); give the path of one of them"):
        read_spots(tmp_path)
    assert read_spots(tmp_path / "S2.tsv.gz").slide.path.name == "S2.png"


def test_other_tables_in_the_folder_do_not_matter(tmp_path):
    SmallSite().write_legacy(tmp_path)
    (tmp_path / "patients.tsv").write_text("a\tb\n1\t2\n")
    assert len(read_spots(tmp_path)) == 49


def test_given_image_is_used(tmp_path):
    SmallSite().write_legacy(tmp_path)
    other = tmp_path / "elsewhere" / "slide.png"
    other.parent.mkdir()
    (tmp_path / "S1.png").rename(other)
    assert read_spots(tmp_path, image=other).slide.path == other


def test_given_scale_wins_and_disagreement_is_told(tmp_path):
    SmallSite().write_legacy(tmp_path)
    spots = read_spots(tmp_path, um_per_px=0.5)
    assert spots.um_per_px == 0.5
    assert spots.notes == ["Scale: 0.5 um/px, as given. The spots would say 2.778 um/px (pitch 72.0 px for 200 um)."]


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), 1e6])
def test_implausible_scale_is_refused(tmp_path, scale):
    SmallSite().write_legacy(tmp_path)
    with pytest.raises(BadInput, match=r"um/px from --um-per-px is not between 0.05 and 50"):
        read_spots(tmp_path, um_per_px=scale)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("S1.png", r"no image S1.jpg \(or .png, .tif\) beside S1.tsv.gz; pass its path with --image"),
        ("S1_spots.tsv", r"no S1_spots.tsv or S1_selection.tsv beside"),
        ("S1.tsv.gz", "holds no spots that can be read; it should hold NAME.tsv.gz"),
    ],
)
def test_missing_file_is_named(tmp_path, missing, message):
    SmallSite().write_legacy(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(BadInput, match=message):
        read_spots(tmp_path)


def test_spot_table_without_counts_is_refused(tmp_path):
    SmallSite().write_legacy(tmp_path)
    (tmp_path / "S1.tsv.gz").unlink()
    with pytest.raises(BadInput, match="is a spot table with 0 tables of counts beside it"):
        read_spots(tmp_path / "S1_spots.tsv")


def test_counts_without_spot_table_are_refused_beside_a_complete_slide(tmp_path):
    SmallSite().write_legacy(tmp_path)
    (tmp_path / "S2.tsv").write_text("g\na\t1\n")
    with pytest.raises(BadInput, match=r"no S2_spots.tsv or S2_selection.tsv"):
        read_spots(tmp_path / "S2.tsv")


def test_two_images_of_one_name_ask_for_one(tmp_path):
    site = SmallSite()
    site.write_legacy(tmp_path)
    Image.fromarray(site.pixels).save(tmp_path / "S1.jpg")
    with pytest.raises(BadInput, match=r"S1.jpg and S1.png beside S1.tsv.gz; pass one of them with --image"):
        read_spots(tmp_path)


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.tiff", ".OME.TIF", ".tif", ".JPG"])
@pytest.mark.parametrize("format", ["legacy", "h5ad", "hest"])
def test_image_is_found_by_its_name_whatever_its_suffix(tmp_path, format, suffix):
    site = SmallSite()
    if format == "hest":
        folder, path = tmp_path / "wsis", write_hest(site, tmp_path, wsi=True, patches=False)
        (folder / "S1.tif").unlink()
    else:
        folder, path = tmp_path, site.write_legacy(tmp_path) if format == "legacy" else site.write_h5ad(tmp_path)
        (folder / "S1.png").unlink()
    image = folder / f"S1{suffix}"
    if "ome" in suffix.lower():
        write_ome(image, site.pixels, 2.78)
    else:
        Image.fromarray(site.pixels).save(image)
    (folder / f"S12{suffix}").write_bytes(b"of another slide")
    assert read_spots(path, um_per_px=2.78).slide.path == image


def test_image_and_its_ome_copy_ask_for_one(tmp_path):
    SmallSite().write_legacy(tmp_path)
    write_ome(tmp_path / "S1.ome.tif", SmallSite().pixels, 2.78)
    with pytest.raises(BadInput, match=r"S1.ome.tif and S1.png beside S1.tsv.gz; pass one of them with --image"):
        read_spots(tmp_path)


def test_image_given_as_spots_is_refused(tmp_path):
    SmallSite().write_legacy(tmp_path)
    with pytest.raises(BadInput, match="is an image; give the counts"):
        read_spots(tmp_path / "S1.png")


def test_unknown_and_missing_paths_are_refused(tmp_path):
    (tmp_path / "counts.xlsx").write_bytes(b"PK")
    with pytest.raises(BadInput, match="is of no known format"):
        read_spots(tmp_path / "counts.xlsx")
    with pytest.raises(BadInput, match="no file or folder"):
        read_spots(tmp_path / "nothing")
    with pytest.raises(BadInput, match="There is no image"):
        read_spots(tmp_path, image=tmp_path / "none.png")


def test_image_that_is_no_image_is_refused(tmp_path):
    SmallSite().write_legacy(tmp_path)
    (tmp_path / "S1.png").write_text("not an image")
    with pytest.raises(BadInput, match="is not an image that can be read"):
        read_spots(tmp_path)


def test_image_cut_short_is_refused(tmp_path):
    SmallSite().write_legacy(tmp_path)
    content = (tmp_path / "S1.png").read_bytes()
    (tmp_path / "S1.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"S1.png cannot be decoded"):
        read_spots(tmp_path)


def test_fluorescence_image_is_refused(tmp_path):
    nuclei = SmallSite().pixels[..., 0] < 150
    dark = np.full((600, 600, 3), 4, np.uint8)
    dark[nuclei] = (20, 40, 220)
    SmallSite(pixels=dark).write_legacy(tmp_path)
    with pytest.raises(BadInput, match=r"S1\.png is mostly black, like a fluorescence image"):
        read_spots(tmp_path)


def test_positions_of_another_image_are_refused(tmp_path):
    site = SmallSite()
    moved = np.full((1800, 1800, 3), 243, np.uint8)
    moved[1200:, 1200:] = site.pixels
    SmallSite(pixels=moved).write_legacy(tmp_path)
    with pytest.raises(BadInput, match=r"Only 0% of the spots lie on tissue in S1.png"):
        read_spots(tmp_path)


@needs_data
@pytest.mark.real_data
def test_mouse_olfactory_bulb_is_read_with_its_scale():
    spots = read_spots(DATA / "mob" / "site")
    assert (len(spots), len(spots.genes)) == (260, 16218)  # two of the 262 have next to no counts
    assert spots.um_per_px == pytest.approx(2.755, abs=0.02)
    first = spots.barcodes.index("X16.92x9.015")
    assert spots.centres[first].tolist() == [1153.70, 584.15]
    assert spots.counts[first, spots.genes.index("Slc1a3")] == 31


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_breast_cancer_section_is_read_with_its_scale():
    spots = read_spots(DATA / "her2st" / "site")
    assert (len(spots), len(spots.genes)) == (179, 15721)  # likewise
    assert spots.um_per_px == pytest.approx(0.69, abs=0.02)
    assert spots.centres[spots.barcodes.index("19x6")].tolist() == [5204.49, 1469.13]
    assert spots.notes[0] == "Genes: 15,721 human symbols."
    assert "2 without counts are left out" in spots.notes[1]
