"""SpatialData stores: circles, image and table come together in the image's pixels; what is not supported is refused."""

import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import zarr
from fakes.hest_site import IDENTITY, placed, table_of, write_circles, write_spatialdata, write_zarr_image
from fakes.real_data import DATA, needs_data
from fakes.small_site import SmallSite
from PIL import Image

from c2lst_client.spots.read import read_spots
from c2lst_client.spots.zarr_picture import open_picture
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide

SCALE = 200 / 72
STEPS = [{"type": "scale", "scale": [2, 2]}, {"type": "translation", "translation": [6, 8]}]
TURN_3D = [[1, 0, 0, 0], [0, 0, 2, 1], [0, 2, 0, 3]]  # likewise, doubled and moved, of c, y and x
TURN = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]  # x and y exchanged


def write(folder, **changes):
    return write_spatialdata(SmallSite(), folder / "s.zarr", **changes)


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zarr.open_group(str(path), mode="r+", use_consolidated=False)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shapes", ["wkb", "wkb-big", "geoarrow", "arrays"])
def test_store_reads_like_the_legacy_array_and_gives_the_same_patches(tmp_path, zarr_format, shapes):
    legacy = read_spots(SmallSite().write_legacy(tmp_path / "legacy"))
    spots = read_spots(write(tmp_path / "Größe", zarr_format=zarr_format, shapes=shapes), um_per_px=SCALE)
    assert spots.barcodes == [name.removeprefix("X") for name in legacy.barcodes]
    assert spots.genes == legacy.genes
    assert (spots.counts != legacy.counts).nnz == 0
    assert np.array_equal(spots.centres, legacy.centres)
    assert spots.source == "SpatialData (s.zarr: table, spots, he)"
    for patch_um in (112.0, 300.0):  # one level, and over the edge
        for ours, theirs in zip(spots.patches(patch_um, 64), legacy.patches(patch_um, 64), strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("image_at", "shapes_at", "positions"),
    [
        ({"type": "scale", "scale": [1, 0.5, 0.25]}, IDENTITY, lambda p: p * (0.25, 0.5)),
        ({"type": "translation", "translation": [0, 10, 20]}, IDENTITY, lambda p: p + np.array([20, 10])),
        (IDENTITY, {"type": "scale", "scale": [4, 8]}, lambda p: p / (4, 8)),
        (IDENTITY, {"type": "affine", "affine": TURN}, lambda p: p[:, ::-1]),
        ({"type": "affine", "affine": TURN_3D}, IDENTITY, lambda p: p[:, ::-1] * 2 + np.array([3, 1])),
        (
            IDENTITY,
            {"type": "sequence", "transformations": STEPS},
            lambda p: (p - (6, 8)) / 2,
        ),
    ],
    ids=["image-scale", "image-translation", "shapes-scale", "shapes-affine", "image-affine", "sequence"],
)  # fmt: skip
def test_transformations_bring_circles_to_the_images_pixels(tmp_path, image_at, shapes_at, positions):
    site = SmallSite()
    path = write(tmp_path, image_at=image_at, shapes_at=shapes_at, positions=positions(site.centres))
    assert np.allclose(read_spots(path, um_per_px=SCALE).centres, site.centres)


def test_coordinate_system_in_micrometres_gives_the_scale(tmp_path):
    site = SmallSite()
    image_at = {"type": "scale", "scale": [1, 2.5, 2.5]}
    spots = read_spots(write(tmp_path, image_at=image_at, positions=site.centres * 2.5, unit="micrometer"))
    assert spots.um_per_px == pytest.approx(2.5)
    assert "Scale: 2.5 um/px, from the coordinate systems of s.zarr." in spots.notes


def test_unknown_scale_is_asked_for(tmp_path):
    with pytest.raises(BadInput, match="The scale of this image is not known; pass --um-per-px"):
        read_spots(write(tmp_path))


def test_coarser_level_serves_a_coarse_patch_and_the_overview(tmp_path):
    picture = open_picture(write(tmp_path, levels=3) / "images" / "he")
    whole = Slide(SmallSite().write_image(tmp_path))
    for side in (128, 256, 500.5):  # from levels 0, 1 and 1
        found, expected = (each.read_square(300.3, 299.8, side, 64).astype(int) for each in (picture, whole))
        assert np.abs(found - expected).mean() < 1.5
    overview, factor = picture.overview(150)
    assert (overview.shape, factor) == ((150, 150, 3), 4.0)
    overview, factor = open_picture(write(tmp_path, levels=1) / "images" / "he").overview(200)
    assert (overview.shape, factor) == ((200, 200, 3), 3.0)
    assert np.array_equal(overview, np.asarray(Image.fromarray(SmallSite().pixels).reduce(3)))


def test_given_image_is_used_with_the_positions_of_the_system(tmp_path):
    other = SmallSite().write_image(tmp_path)
    spots = read_spots(write(tmp_path), image=other, um_per_px=SCALE)
    assert spots.slide.path == other
    assert "Positions in the coordinate system 'global' are taken as pixels of S1.png." in spots.notes


def test_one_of_two_images_is_chosen_by_its_path(tmp_path):
    path = write(tmp_path)
    write_zarr_image(opened(path), "lowres", SmallSite().pixels, placed(IDENTITY, "cyx"))
    with pytest.raises(BadInput, match=r"has 2 images \(he, lowres\); give one as the path: .*s.zarr/images/he"):
        read_spots(path, um_per_px=SCALE)
    assert read_spots(path / "images" / "lowres", um_per_px=SCALE).slide.path.name == "lowres"


def _without(name):
    def change(root, _path):
        del root[name]

    return change


def _two_tables(root, path):
    root.create_group("tables/other")


def _polygons(root, path):
    write_circles(path / "shapes" / "spots", SmallSite().centres, "polygons")


def _cut_parquet(root, path):
    file = path / "shapes" / "spots" / "shapes.parquet"
    file.write_bytes(file.read_bytes()[:200])


def _no_parquet(root, path):
    (path / "shapes" / "spots" / "shapes.parquet").unlink()


def _nan_circle(root, path):
    centres = SmallSite().centres
    centres[3, 0] = np.nan
    write_circles(path / "shapes" / "spots", centres)


def _other_region(root, path):
    root["shapes"].create_group("cells")
    root["tables/table/obs/region/categories"][0] = "elsewhere"


def _other_instances(root, path):
    root["tables/table/obs/instance"][:] = np.arange(100, 149)


def _two_of_one(root, path):
    root["tables/table/obs/_index"][1] = "2x2"


def _sheared_kind(root, path):
    root["shapes/spots"].attrs["coordinateTransformations"] = placed({"type": "byDimension"}, "xy")


def _broken_scale(root, path):
    root["shapes/spots"].attrs["coordinateTransformations"] = placed({"type": "scale", "scale": [1]}, "xy")


def _nowhere(root, path):
    root["shapes/spots"].attrs["coordinateTransformations"] = placed(IDENTITY, "xy", system="elsewhere")


def _flat(root, path):
    write_zarr_image(root, "he", SmallSite().pixels, placed({"type": "scale", "scale": [1, 0, 1]}, "cyx"))


def _image(**changes):
    def change(root, path):
        arguments = {"shape": (3, 600, 600), "chunks": (3, 256, 256), "dtype": "u1"} | changes
        del root["images/he/0"]
        root["images/he"].create_array("0", **arguments)

    return change


def _no_multiscales(root, path):
    root["images/he"].attrs.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("tables"), "has no table, and one is needed; give a SpatialData store with images, shapes"),
        (_two_tables, r"has 2 tables \(tables/other, tables/table\), and one is needed"),
        (_without("shapes"), "has no shapes; give a SpatialData store"),
        (_without("images"), "has no image; give a SpatialData store .*or pass --image"),
        (_without("tables/table/uns/spatialdata_attrs"), "does not say which shapes it annotates"),
        (_without("tables/table/obs/instance"), "cannot be read as Zarr"),
        (_polygons, "holds shapes other than circles"),
        (_cut_parquet, "shapes.parquet cannot be read as a table of circles"),
        (_no_parquet, "has neither shapes.parquet nor arrays coords and Index"),
        (_nan_circle, "has no finite position for the circle '3'"),
        (_other_region, "annotates 'elsewhere', but its shapes are cells, spots"),
        (_other_instances, r"\(such as '100'\) and the circles of .* \(such as '0'\) have nothing in common"),
        (_two_of_one, "has the spot '2x2' 2 times; keep one of them"),
        (_sheared_kind, "of kind 'byDimension'; supported are identity, scale, translation, affine, sequence"),
        (_broken_scale, "has a coordinate transformation that cannot be read"),
        (_nowhere, "which are different coordinate systems; align them in spatialdata first"),
        (_image(dtype="u2"), r"he holds uint16 \(3, 600, 600\) \(c, y, x\), not 8-bit RGB"),
        (_image(shape=(1, 600, 600)), r"he holds uint8 \(1, 600, 600\)"),
        (_image(shape=(3, 1 << 40, 600)), "claims 600 x 1099511627776 pixels"),
        (_image(shape=(3, 60000, 60000), chunks=(3, 60000, 60000)), "too large to unpack; write smaller ones"),
        (_no_multiscales, "is no OME-Zarr image"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_store_that_cannot_be_used_is_refused(tmp_path, change, message):
    path = write(tmp_path, levels=1)
    change(opened(path), path)
    with pytest.raises(BadInput, match=message):
        read_spots(path, um_per_px=SCALE)


def test_flattening_transformation_is_refused(tmp_path):
    with pytest.raises(BadInput, match="has a coordinate transformation that flattens it"):
        read_spots(write(tmp_path, image_at={"type": "scale", "scale": [1, 0, 1]}), um_per_px=SCALE)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = str(path)

    def __reduce__(self):
        return open, (self._path, "w")


@pytest.mark.parametrize("array", ["images/he/0", "tables/table/obs/instance", "tables/table/obs/_index"])
def test_nothing_in_a_store_is_unpickled(tmp_path, array):
    path = write(tmp_path)
    file = path / array / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"compressor": {"id": "pickle", "protocol": 5}}))
    for chunk in (path / array).glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    expected = "with 'pickle', which is not read" if array.endswith("_index") else "cannot be read as Zarr .*'pickle'"
    with pytest.raises(BadInput, match=expected):  # zarr itself refuses it but for text
        read_spots(path, um_per_px=SCALE)
    assert not (tmp_path / "sprung").exists()


def test_rows_and_circles_without_a_partner_are_left_out_with_a_note(tmp_path):
    path = write(tmp_path)
    opened(path)["tables/table/obs/instance"][:3] = [1000, 1001, 1002]
    spots = read_spots(path, um_per_px=SCALE)
    assert spots.barcodes == SmallSite().barcodes[3:]
    assert "3 circles of spots have no row in the table and are left out." in spots.notes


def test_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(BadInput, match="cannot be read as Zarr"):
        read_spots(tmp_path / "a.zarr")


def test_damaged_chunk_is_refused(tmp_path):
    path = write(tmp_path)
    chunk = path / "images" / "he" / "0" / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(BadInput, match="he cannot be read as Zarr"):
        read_spots(path, um_per_px=SCALE)


def test_store_that_cannot_be_written_is_read(tmp_path):
    path = write(tmp_path)
    before = sorted(path.rglob("*"))
    path.chmod(0o555)
    try:
        assert len(read_spots(path, um_per_px=SCALE)) == 49
    finally:
        path.chmod(0o755)
    assert sorted(path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore")  # what spatialdata and its libraries deprecate in one another is theirs to change
@pytest.mark.slow
@pytest.mark.parametrize("container", ["0.1", "0.2"])  # Zarr 2, Zarr 3
@pytest.mark.parametrize("encoding", ["WKB", "geoarrow"])
def test_store_that_spatialdata_wrote_reads_like_the_legacy_array(tmp_path, container, encoding):
    import spatialdata
    from spatialdata._io.format import SpatialDataContainerFormats
    from spatialdata.models import Image2DModel, ShapesModel, TableModel

    site, path = SmallSite(), tmp_path / "s.zarr"
    table = table_of(site)
    table.obs["region"] = pd.Categorical(["spots"] * len(table))
    table.obs["instance"] = np.arange(len(table))
    spatialdata.SpatialData(
        images={"he": Image2DModel.parse(site.pixels.transpose(2, 0, 1), dims=("c", "y", "x"), scale_factors=[2])},
        shapes={"spots": ShapesModel.parse(site.centres, geometry=0, radius=20.0)},
        tables={"table": TableModel.parse(table, region="spots", region_key="region", instance_key="instance")},
    ).write(path, sdata_formats=SpatialDataContainerFormats[container], shapes_geometry_encoding=encoding)
    legacy, spots = read_spots(site.write_legacy(tmp_path / "legacy")), read_spots(path, um_per_px=SCALE)
    assert spots.barcodes == site.barcodes
    assert spots.genes == legacy.genes
    assert (spots.counts != legacy.counts).nnz == 0
    assert np.array_equal(spots.centres, legacy.centres)
    for ours, theirs in zip(spots.patches(112.0, 64), legacy.patches(112.0, 64), strict=True):
        assert np.array_equal(ours, theirs)


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_mouse_olfactory_bulb_reads_the_same_as_a_store(tmp_path):
    legacy = read_spots(DATA / "mob" / "site")
    site = SmallSite(
        legacy.centres, legacy.counts.toarray(), legacy.genes, legacy.barcodes, legacy.slide.overview(max(legacy.slide.size))[0]
    )
    spots = read_spots(write_spatialdata(site, tmp_path / "mob.zarr"), um_per_px=legacy.um_per_px)
    assert spots.barcodes == legacy.barcodes
    assert (spots.counts != legacy.counts).nnz == 0
    assert np.array_equal(spots.centres, legacy.centres)
    for index in range(0, len(spots), 20):
        assert np.array_equal(spots.patch(index, 176.0, 64), legacy.patch(index, 176.0, 64))
