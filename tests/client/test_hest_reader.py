"""HEST samples: whole slide or patches alone, joined by barcode; what does not fit is refused with what to do."""

import h5py
import numpy as np
import pytest
import scipy.sparse
from fakes.hest_site import PATCH_PX, write_hest
from fakes.real_data import DATA, needs_data
from fakes.small_site import SmallSite

from c2lst_client.spots.pairs import PairWriter
from c2lst_client.spots.patch_stack import PatchStack
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide

SCALE = 200 / 72


def change(path, **arrays):
    with h5py.File(path, "r+") as file:
        for name, values in arrays.items():
            del file[name]
            if values is not None:
                file[name] = values


def same(spots, legacy):
    assert [name.removeprefix("X") for name in legacy.barcodes] == spots.barcodes
    assert spots.genes == legacy.genes
    assert (spots.counts != legacy.counts).nnz == 0
    assert np.array_equal(spots.centres, legacy.centres)
    assert spots.um_per_px == pytest.approx(legacy.um_per_px)


@pytest.mark.parametrize("wsi", [True, False], ids=["slide", "patches"])
def test_sample_reads_like_the_legacy_array_and_gives_the_same_patches(tmp_path, wsi):
    site = SmallSite()
    legacy = read_spots(site.write_legacy(tmp_path / "legacy"))
    spots = read_spots(write_hest(site, tmp_path / "hest", wsi=wsi), um_per_px=SCALE)
    same(spots, legacy)
    for ours, theirs in zip(spots.patches(40 * SCALE, 40), legacy.patches(40 * SCALE, 40), strict=True):
        assert np.array_equal(ours, theirs)
    for ours, theirs in zip(spots.patches(PATCH_PX * SCALE, 40), legacy.patches(PATCH_PX * SCALE, 40), strict=True):
        # a stored patch ends where the filter that shrinks it would see a little more of the slide
        assert np.abs(ours.astype(int) - theirs).mean() < (1e-9 if wsi else 0.7)


@pytest.mark.parametrize("name", ["", "st/S1.h5ad", "patches/S1.h5"])
def test_folder_table_and_patches_lead_to_the_sample(tmp_path, name):
    root = write_hest(SmallSite(), tmp_path / "Probé β", metadata={"pixel_size_um_estimated": 2.7})
    spots = read_spots(root / name)
    assert isinstance(spots.slide, PatchStack)
    assert spots.source == "HEST (S1.h5ad, patches/S1.h5)"
    assert "Scale: 2.7 um/px, from pixel_size_um_estimated in S1.json." in spots.notes
    assert any("patches of 56 px are used, which show 151.2 um each" in note for note in spots.notes)


def test_whole_slide_image_is_preferred(tmp_path):
    spots = read_spots(write_hest(SmallSite(), tmp_path, wsi=True), um_per_px=SCALE)
    assert isinstance(spots.slide, Slide)
    assert spots.slide.path == tmp_path / "wsis" / "S1.tif"


def test_patches_stored_at_half_a_micrometre_show_their_part_of_the_slide(tmp_path):
    root = write_hest(SmallSite(), tmp_path, zoom=4, metadata={"pixel_size_um_estimated": 2.0})
    spots = read_spots(root)
    assert spots.slide.side == 56
    assert spots.slide.image_px == 224
    legacy = read_spots(SmallSite().write_legacy(tmp_path / "legacy"), um_per_px=2.0)
    assert np.array_equal(spots.patch(5, 112.0, 224)[::4, ::4], legacy.patch(5, 112.0, 56))


def test_overview_is_the_slide_where_there_are_patches_and_white_elsewhere(tmp_path):
    site = SmallSite()
    slide = read_spots(write_hest(site, tmp_path), um_per_px=SCALE).slide
    mosaic, factor = slide.overview(600)
    assert slide.size == (544, 544)
    assert (factor, mosaic.shape) == (1.0, (544, 544, 3))
    x, y = site.centres[8].astype(int)
    assert np.array_equal(mosaic[y - 28 : y + 28, x - 28 : x + 28], site.pixels[y - 28 : y + 28, x - 28 : x + 28])
    assert (mosaic[:50] == 255).all()
    small, factor = slide.overview(100)
    assert small.shape == (100, 100, 3)
    assert factor == pytest.approx(5.44)


def test_square_larger_than_a_patch_is_refused(tmp_path):
    spots = read_spots(write_hest(SmallSite(), tmp_path), um_per_px=2.0)
    with pytest.raises(BadInput, match=r"holds patches of 112.0 um and 120.0 um are asked for; give the whole slide image"):
        spots.patch(0, 120.0, 64)


def test_square_over_the_edge_of_a_patch_repeats_it(tmp_path):
    site = SmallSite()
    slide = read_spots(write_hest(site, tmp_path), um_per_px=SCALE).slide
    x, y = site.centres[0]
    square = slide.read_square(x - 28, y, 40, 40)
    assert np.array_equal(square[:, 0], square[:, 19])


def test_fewer_patches_than_spots_are_noted(tmp_path):
    spots = read_spots(write_hest(SmallSite(), tmp_path, skip=5), um_per_px=SCALE)
    assert spots.barcodes == SmallSite().barcodes[5:]
    assert "5 of 49 spots have no patch in S1.h5 and are left out." in spots.notes


def test_scale_that_differs_from_the_scanners_is_noted(tmp_path):
    root = write_hest(SmallSite(), tmp_path, metadata={"pixel_size_um_estimated": 2.7, "pixel_size_um_embedded": 1.0})
    assert "The metadata estimate 2.7 um/px from the spots, and the scanner wrote 1." in read_spots(root).notes


def test_several_samples_ask_for_one(tmp_path):
    write_hest(SmallSite(), tmp_path)
    write_hest(SmallSite(name="S2"), tmp_path)
    with pytest.raises(BadInput, match=r"holds 2 samples \(S1, S2\); give one of them, such as .*st/S1.h5ad"):
        read_spots(tmp_path)
    assert read_spots(tmp_path / "patches" / "S2.h5", um_per_px=SCALE).source.startswith("HEST (S2.h5ad")


def test_unknown_scale_is_asked_for_with_what_hest_would_have(tmp_path):
    with pytest.raises(BadInput, match=r"is not known: pass --um-per-px.* would make it 0.5"):
        read_spots(write_hest(SmallSite(), tmp_path))


def test_missing_files_are_named(tmp_path):
    root = write_hest(SmallSite(), tmp_path)
    (root / "st" / "S1.h5ad").unlink()
    with pytest.raises(BadInput, match=r"There is no .*st/S1.h5ad, the counts that belong to .*S1.h5; add it"):
        read_spots(root / "patches" / "S1.h5")
    root = write_hest(SmallSite(), tmp_path / "b", patches=False)
    with pytest.raises(BadInput, match=r"There are neither wsis nor patches for .*; add them or pass --image"):
        read_spots(root)


@pytest.mark.parametrize("content", ["[1]", "{", "\xff"])
def test_metadata_that_is_no_object_is_refused(tmp_path, content):
    root = write_hest(SmallSite(), tmp_path)
    (root / "metadata" / "S1.json").write_text(content)
    with pytest.raises(BadInput, match=r"S1.json is no JSON object of the sample's metadata"):
        read_spots(root)


FOREIGN = np.array([[f"other{number}".encode()] for number in range(49)])
TWICE = np.array([[name.encode()] for name in ["2x2", *SmallSite().barcodes[:1], *SmallSite().barcodes[2:]]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"barcode": FOREIGN}, r"S1.h5ad \(such as '2x2'\) and S1.h5 \(such as 'other0'\) have no spot in common"),
        ({"barcode": TWICE}, "S1.h5 has the patch '2x2' 2 times; keep one of them"),
        ({"barcode": np.array([[b"\xff"]] * 49)}, "has a barcode that is not UTF-8 text"),
        ({"barcode": FOREIGN[:9]}, "has 9 barcodes for 49 patches"),
        ({"barcode": None}, "has no array 'barcode'; a file of patches holds img, coords and barcode"),
        ({"img": np.zeros((49, 8, 8, 3), np.float32)}, r"has img float32 \(49, 8, 8, 3\); it should be uint8"),
        ({"img": np.zeros((49, 8, 9, 3), np.uint8)}, r"has img uint8 \(49, 8, 9, 3\); it should be uint8, patches x side"),
        ({"coords": np.full((49, 2), np.nan)}, "has no plausible position for the patch of '2x2'"),
        ({"coords": np.zeros((49, 3))}, r"has coords float64 \(49, 3\) for 49 patches"),
        ({"coords": np.zeros((49, 2))}, "has patches that are not centred on their spots"),
    ],
)
def test_patches_that_do_not_fit_are_refused(tmp_path, arrays, message):
    root = write_hest(SmallSite(), tmp_path)
    change(root / "patches" / "S1.h5", **arrays)
    with pytest.raises(BadInput, match=message):
        read_spots(root, um_per_px=SCALE)


@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((1 << 40, 224, 224, 3), (1, 224, 224, 3), "claims 1,099,511,627,776 patches of 224 px"),
        ((49, 1 << 20, 1 << 20, 3), (1, 64, 64, 3), "claims 49 patches of 1,048,576 px"),
        ((49, 4096, 4096, 3), (49, 4096, 4096, 3), "too large to unpack; store one patch per chunk"),
    ],
)
def test_enormous_claims_are_refused_before_anything_is_read(tmp_path, shape, chunks, message):
    root = write_hest(SmallSite(), tmp_path)
    with h5py.File(root / "patches" / "S1.h5", "r+") as file:
        del file["img"]
        file.create_dataset("img", shape=shape, chunks=chunks, dtype="u1")
    with pytest.raises(BadInput, match=message):
        read_spots(root, um_per_px=SCALE)


def test_pixels_kept_in_another_file_are_refused(tmp_path):
    root = write_hest(SmallSite(), tmp_path)
    with h5py.File(root / "patches" / "S1.h5", "r+") as file:
        del file["img"]
        file["img"] = h5py.ExternalLink("elsewhere.h5", "img")
    with pytest.raises(BadInput, match="has no array 'img'"):
        read_spots(root, um_per_px=SCALE)
    with h5py.File(root / "patches" / "S1.h5", "r+") as file:
        del file["img"]
        file.create_dataset("img", shape=(49, 8, 8, 3), dtype="u1", external=[("elsewhere.raw", 0, 49 * 8 * 8 * 3)])
    with pytest.raises(BadInput, match="keeps 'img' in other files"):
        read_spots(root, um_per_px=SCALE)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_patches_cut_short_are_refused(tmp_path, share):
    path = write_hest(SmallSite(), tmp_path) / "patches" / "S1.h5"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInput, match=r"S1.h5 cannot be read as HDF5"):
        read_spots(path, um_per_px=SCALE)


def test_folder_that_cannot_be_written_is_read(tmp_path):
    root = write_hest(SmallSite(), tmp_path / "hest")
    folders = [root, *(folder for folder in root.iterdir() if folder.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert len(read_spots(root, um_per_px=SCALE)) == 49
    finally:
        for folder in folders:
            folder.chmod(0o755)


def own_pairs(folder, expression, **provenance):
    site = SmallSite()
    with PairWriter(
        folder, barcodes=site.barcodes, expression=expression, genes=site.genes, image_px=56, coords=site.centres,
        provenance=provenance,
    ) as writer:  # fmt: skip
        slide = Slide(site.write_image(folder))
        writer.append(np.stack([slide.read_square(x, y, 56, 56) for x, y in site.centres]))
        writer.finish()
    (folder / "S1.png").unlink()
    return folder


def test_own_prepared_spots_are_read_again(tmp_path):
    site = SmallSite()
    folder = own_pairs(tmp_path, site.counts.astype(np.float32), kind="prepared spots", patch_um=112.0, um_per_px=2.0)
    spots = read_spots(folder)
    assert np.array_equal(spots.counts.toarray(), site.counts)
    assert np.array_equal(spots.centres, site.centres)
    assert spots.source.startswith("prepared spots")
    assert "Scale: 2 um/px, from expression.h5ad." in spots.notes
    legacy = read_spots(site.write_legacy(tmp_path / "legacy"), um_per_px=2.0)
    assert np.array_equal(spots.patch(9, 112.0, 56), legacy.patch(9, 112.0, 56))


def test_own_synthetic_pairs_are_refused(tmp_path):
    scores = np.random.default_rng(0).standard_normal((49, 12)).astype(np.float32)
    folder = own_pairs(tmp_path, scores, kind="synthetic pairs")
    for path in (folder, folder / "patches.h5", folder / "expression.h5ad"):
        with pytest.raises(BadInput, match="holds synthetic pairs whose expression is not raw counts but scaled values"):
            read_spots(path)


def test_own_pairs_of_unknown_scale_are_refused(tmp_path):
    folder = own_pairs(tmp_path, SmallSite().counts.astype(np.float32), kind="test pairs")
    with pytest.raises(BadInput, match="holds test pairs that do not say what a patch shows"):
        read_spots(folder)


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("expression.h5ad", "X"),
        ("expression.h5ad", "obsm/spatial"),
        ("expression.h5ad", "uns/fingerprint"),
        ("patches.h5", "done"),
    ],
)
def test_own_pairs_that_claim_to_be_huge_are_refused_before_they_are_read(tmp_path, name, element):
    folder = own_pairs(tmp_path, SmallSite().counts.astype(np.float32), kind="prepared spots", patch_um=112.0, um_per_px=2.0)
    with h5py.File(folder / name, "r+") as file:
        attributes = dict(file[element].attrs)
        del file[element]
        file.create_dataset(element, shape=(1 << 33, 2), dtype="f4", chunks=(1 << 16, 2)).attrs.update(attributes)
    with pytest.raises(BadInput, match=rf"{name} holds /{element} of 64.0 GiB unpacked"):
        read_spots(folder)


def test_own_pairs_with_indices_beyond_the_matrix_are_refused(tmp_path):
    counts = scipy.sparse.csr_matrix(SmallSite().counts.astype(np.float32))
    folder = own_pairs(tmp_path, counts, kind="prepared spots", patch_um=112.0, um_per_px=2.0)
    with h5py.File(folder / "expression.h5ad", "r+") as file:
        file["X/indices"][3] = 10_000
    with pytest.raises(BadInput, match=r"expression.h5ad cannot be read as expression of pairs .*; make the pairs again"):
        read_spots(folder)


def test_own_pairs_that_contain_themselves_are_refused(tmp_path):
    folder = own_pairs(tmp_path, SmallSite().counts.astype(np.float32), kind="prepared spots", patch_um=112.0, um_per_px=2.0)
    with h5py.File(folder / "expression.h5ad", "r+") as file:
        file["uns/again"] = h5py.SoftLink("/")
    with pytest.raises(BadInput, match=r"expression.h5ad cannot be read as expression of pairs"):
        read_spots(folder)


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_mouse_olfactory_bulb_reads_the_same_as_patches(tmp_path):
    legacy = read_spots(DATA / "mob" / "site")
    site = SmallSite(
        legacy.centres, legacy.counts.toarray(), legacy.genes, legacy.barcodes, legacy.slide.overview(max(legacy.slide.size))[0]
    )
    spots = read_spots(write_hest(site, tmp_path), um_per_px=legacy.um_per_px)
    assert spots.barcodes == legacy.barcodes
    assert (spots.counts != legacy.counts).nnz == 0
    assert np.array_equal(spots.centres, legacy.centres)
    for index in range(0, len(spots), 20):  # HEST rounds corners down, the slide rounds: up to a pixel apart
        x, y = (legacy.centres[index] - PATCH_PX // 2).astype(int) + PATCH_PX // 2
        expected = legacy.slide.read_square(x, y, PATCH_PX, PATCH_PX)
        assert np.array_equal(spots.patch(index, PATCH_PX * spots.um_per_px, PATCH_PX), expected)
