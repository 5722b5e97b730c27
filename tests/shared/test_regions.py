"""Slides of every layout are read by region and give the same pixels as the plain image, or a sentence that says what to do."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes.small_site import h_and_e
from fakes.tiffs import write_jpeg_tiles, write_ome, write_pyramid
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from c2lst_shared.errors import BadInput
from c2lst_shared.images import tiff, tiff_segments
from c2lst_shared.images.plain import PlainImage
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import fit_slide
from c2lst_shared.images.tiff import RegionTiff
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import check_h_and_e
from c2lst_shared.images.whole_slide import WholeSlide

PIXELS = np.ascontiguousarray(h_and_e()[:570, :]).copy()  # 600 x 570: no whole number of tiles
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(PIXELS, -1, 0))
BIG_SIDE = 40_000
MAX_BYTES = 2 << 30


def written(folder: Path, layout: str) -> Path:
    path = folder / f"{layout.replace(' ', '_')}.tif"
    match layout:
        case "pages":
            write_pyramid(path, PIXELS)
        case "nested":
            write_pyramid(path, PIXELS, nested=True)
        case "big":
            write_pyramid(path, PIXELS, bigtiff=True, predictor=True)
        case "big-endian":
            with tifffile.TiffWriter(path, byteorder=">") as file:
                file.write(PIXELS, tile=(64, 64), photometric="rgb", compression="zlib", metadata=None)
        case "ome":
            write_ome(path, PIXELS, 0.25)
        case "ome rgb":
            tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(64, 64), ome=True, metadata={"axes": "YXS"})
        case "planar strips":
            tifffile.imwrite(path, CHANNELS_FIRST, photometric="rgb", planarconfig="separate", rowsperstrip=50)
        case "planar tiles":
            tifffile.imwrite(
                path, CHANNELS_FIRST, photometric="rgb", planarconfig="separate", tile=(64, 64), compression="zlib"
            )
        case "transparent":
            opaque = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
            tifffile.imwrite(path, opaque, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), compression="zlib")
    return path


LAYOUTS = ["pages", "nested", "big", "big-endian", "ome", "ome rgb", "planar strips", "planar tiles", "transparent"]


@pytest.fixture(scope="module", params=LAYOUTS)
def slide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return Slide(written(tmp_path_factory.mktemp("layouts"), request.param))


def by_numpy(pixels: np.ndarray, x: float, y: float, side: int) -> np.ndarray:
    """The square by padding the whole picture."""
    far = 800
    left, top = round(x - side / 2), round(y - side / 2)
    padded = np.pad(pixels, ((far, far), (far, far), (0, 0)), mode="edge")
    return padded[top + far : top + far + side, left + far : left + far + side]


@settings(max_examples=25, deadline=None)
@given(x=st.floats(-300, 900), y=st.floats(-300, 900), side=st.integers(1, 400))
def test_square_equals_that_of_the_array(slide: Slide, x: float, y: float, side: int) -> None:
    np.testing.assert_array_equal(slide.read_square(x, y, side, side), by_numpy(PIXELS, x, y, side))


def test_every_layout_is_read_by_region(slide: Slide) -> None:
    assert isinstance(slide._regions, RegionTiff)
    assert slide.size == (600, 570)
    np.testing.assert_array_equal(slide.shrunk(1), PIXELS)


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    return ndimage.gaussian_filter(h_and_e(), (5, 5, 0))


@settings(max_examples=40, deadline=None)
@given(x=st.floats(150, 450), y=st.floats(150, 450), side=st.floats(64, 290), out_px=st.sampled_from([16, 32, 64]))
def test_square_from_a_smaller_copy_is_close_to_that_of_the_whole(
    smooth: np.ndarray, tmp_path_factory: pytest.TempPathFactory, x: float, y: float, side: float, out_px: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if not (folder / "smooth.png").exists():
        Image.fromarray(smooth).save(folder / "smooth.png")
        write_pyramid(folder / "smooth.tif", smooth)
    plain = Slide(folder / "smooth.png").read_square(x, y, side, out_px).astype(int)
    found = Slide(folder / "smooth.tif").read_square(x, y, side, out_px).astype(int)
    assert np.abs(found - plain).mean() < 0.6
    np.testing.assert_allclose(found.mean(axis=(0, 1)), plain.mean(axis=(0, 1)), atol=0.5)


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 7, 16])
def test_overview_from_a_smaller_copy_is_close_to_that_of_the_whole(tmp_path: Path, factor: int) -> None:
    slide = Slide(write_pyramid(tmp_path / "slide.tif", PIXELS))
    expected = np.asarray(Image.fromarray(PIXELS).reduce(factor)).astype(int)
    found = slide.shrunk(factor).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4
    if factor in (2, 4):
        np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.parametrize("longest", [1, 37, 100, 599, 600, 5000])
def test_overview_is_at_most_as_long_as_asked(slide: Slide, longest: int) -> None:
    pixels, factor = slide.overview(longest)
    assert max(pixels.shape[:2]) <= longest
    assert pixels.shape == (-(-570 // int(factor)), -(-600 // int(factor)), 3)


def test_tiled_slide_gives_the_stain_and_tiles_of_the_plain_image(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    plain, tiled = Slide(tmp_path / "plain.png"), Slide(write_pyramid(tmp_path / "tiled.tif", PIXELS, factors=(1,)))
    assert isinstance(plain._regions, PlainImage)
    check_h_and_e(tiled)
    assert fit_slide(tiled) == fit_slide(plain) == fit_slide(PIXELS)
    np.testing.assert_array_equal(tile_positions(tiled, 1.0, 64, 0.5, 0.5), tile_positions(plain, 1.0, 64, 0.5, 0.5))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_strips_of_every_compression_equal_what_pillow_reads(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "strips.tif"
    Image.fromarray(PIXELS).save(path, compression=compression)
    with Image.open(path) as image:
        np.testing.assert_array_equal(RegionTiff(path).read(0, 7, 100, 500, 301), np.asarray(image)[100:401, 7:507])


@pytest.mark.parametrize("rows", [570, 569, 190, 1])
def test_uncompressed_strips_are_cut_where_it_suits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(tiff, "STRIP_PIXELS", 6000)
    tifffile.imwrite(tmp_path / "strips.tif", PIXELS, photometric="rgb", rowsperstrip=rows)
    regions = RegionTiff(tmp_path / "strips.tif")
    np.testing.assert_array_equal(regions.read(0, 0, 0, 600, 570), PIXELS)
    assert regions._segments._levels[0].segment[1] <= max(10, 1 if rows != 569 else 569)


def test_what_was_decoded_is_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_segments, "CACHE_BYTES", 100_000)
    regions = RegionTiff(write_pyramid(tmp_path / "slide.tif", PIXELS, tile=64))
    np.testing.assert_array_equal(regions.read(0, 0, 0, 600, 570), PIXELS)
    kept = regions._segments._kept
    assert sum(pixels.nbytes for pixels in kept.values()) == regions._segments._kept_bytes <= 100_000
    assert len(kept) == 8


def test_label_and_photograph_of_a_slide_are_no_levels(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "slide.tif") as file:
        file.write(PIXELS, tile=(64, 64), photometric="rgb", metadata=None)
        for shape, reduced in (((285, 300), 1), ((200, 300), 1), ((100, 300), 0)):
            file.write(np.zeros((*shape, 3), np.uint8), photometric="rgb", subfiletype=reduced, metadata=None)
    assert list(Slide(tmp_path / "slide.tif")._regions.sizes) == [(600, 570), (300, 285)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5, id="per centimetre"),
        pytest.param({"resolution": (50_800, 50_800), "resolutionunit": "INCH"}, 0.5, id="per inch"),
        pytest.param({"resolution": (72, 72), "resolutionunit": "INCH"}, None, id="72 dpi"),
        pytest.param({}, None, id="no tags"),
    ],
)
def test_scale_of_a_tiled_tiff_is_that_of_its_tags(tmp_path: Path, options: dict[str, object], expected: float | None) -> None:
    found = Slide(write_pyramid(tmp_path / "slide.tif", PIXELS, factors=(1,), **options)).um_per_px
    assert found == (None if expected is None else pytest.approx(expected))


def test_scale_of_an_ome_tiff_is_that_of_its_metadata(tmp_path: Path) -> None:
    assert Slide(write_ome(tmp_path / "slide.ome.tif", PIXELS, 0.25)).um_per_px == pytest.approx(0.25)


def scanner_file(folder: Path) -> Path:
    """A file that openslide takes for one of an Aperio scanner."""
    description = "Aperio Image Library v11\r\n600x600 (256x256) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"
    return write_jpeg_tiles(folder / "Schnitt Ä.svs", np.tile(h_and_e()[200:328, 200:328], (2, 2, 1)), 1024, (1,), description)


def test_file_of_a_scanner_is_read_by_openslide(tmp_path: Path) -> None:
    slide = Slide(scanner_file(tmp_path))
    assert isinstance(slide._regions, WholeSlide)
    assert slide.size == (1024, 1024)
    assert slide.um_per_px == pytest.approx(0.499)
    expected = RegionTiff(slide.path).read(0, 200, 300, 128, 128).astype(int)
    assert np.abs(slide.read_square(264, 364, 128, 128).astype(int) - expected).max() <= 2
    assert slide.overview(256)[0].shape == (256, 256, 3)


def test_scanner_file_without_openslide_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scanner_file(tmp_path)
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(BadInput, match=r"openslide is not installed: pip install 'c2lst\[slides\]'"):
        _ = Slide(path).size


@pytest.mark.parametrize("suffix", [".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".tif"])
def test_text_with_the_name_of_a_slide_is_no_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("not pixels")
    with pytest.raises(BadInput, match="is not an image that can be read; use JPEG, PNG, TIFF or a whole-slide format"):
        _ = Slide(path).size


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    for name in ("really_png.svs", "really_png.tif", "really_png.mrxs"):
        Image.fromarray(PIXELS).save(tmp_path / name, format="PNG")
        np.testing.assert_array_equal(Slide(tmp_path / name).shrunk(1), PIXELS)
    written(tmp_path, "pages").rename(tmp_path / "really_tiff.png")
    assert isinstance(Slide(tmp_path / "really_tiff.png")._regions, RegionTiff)


def test_names_of_other_scripts_and_read_only_folders_do_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / "切片 Ångström"
    folder.mkdir()
    path = write_pyramid(folder / "Größe é 1.tif", PIXELS)
    svs = scanner_file(folder)
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        np.testing.assert_array_equal(Slide(path).shrunk(1), PIXELS)
        assert Slide(svs).read_square(100, 100, 64, 64).shape == (64, 64, 3)
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("layout", ["pages", "nested", "ome", "planar tiles"])
@pytest.mark.parametrize("kept", [0.001, 0.2, 0.6, 0.95])
def test_tiled_file_cut_short_is_refused(tmp_path: Path, layout: str, kept: float) -> None:
    path = written(tmp_path, layout)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadInput, match=r"cannot be decoded .* copy it again|is not an image that can be read"):
        _ = Slide(path).size


def test_tile_that_is_damaged_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "slide.tif", PIXELS, factors=(1,))
    with tifffile.TiffFile(path) as file:
        first = file.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[first : first + 400] = bytes(400)
    path.write_bytes(content)
    slide = Slide(path)
    assert slide.read_square(500, 500, 64, 64).shape == (64, 64, 3)
    with pytest.raises(BadInput, match=r"slide\.tif cannot be decoded"):
        slide.read_square(100, 100, 64, 64)


def claiming(path: Path, **tags: int) -> Path:
    """A small tiled file whose tags say something else."""
    write_pyramid(path, PIXELS, factors=(1,))
    with tifffile.TiffFile(path, mode="r+") as file:
        for name, value in tags.items():
            file.pages.first.tags[name].overwrite(value)
    return path


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        pytest.param(
            {"ImageWidth": 60_000, "ImageLength": 60_000}, "cannot be decoded .*tiles or strips are listed", id="bomb"
        ),
        pytest.param({"ImageWidth": 4_000_000_000 & 0x7FFFFFFF}, "cannot be decoded|claims to have", id="billions"),
        pytest.param({"TileWidth": 65_520, "TileLength": 65_520}, "cannot be decoded|in one compressed piece", id="huge tile"),
        pytest.param({"Compression": 34712}, "is compressed as JPEG2000; save it with", id="compression"),
    ],
)
def test_file_that_claims_too_much_is_refused_at_once(tmp_path: Path, tags: dict[str, int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _ = Slide(claiming(tmp_path / "claims.tif", **tags)).size


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        pytest.param(np.zeros((64, 64, 3), np.uint16), {"photometric": "rgb"}, "8 bits per channel", id="16 bits"),
        pytest.param(np.zeros((64, 64, 3), np.float32), {"photometric": "rgb"}, "8 bits per channel", id="floats"),
        pytest.param(
            np.zeros((5, 64, 64), np.uint8), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}},
            "has 5 channels and not red, green and blue", id="five channels",
        ),
        pytest.param(
            np.zeros((4, 64, 64, 3), np.uint8), {"photometric": "rgb", "ome": True, "metadata": {"axes": "ZYXS"}},
            r"holds several pictures \(axes ZYXS\)", id="stack",
        ),
    ],
)  # fmt: skip
def test_pixels_of_other_kinds_are_refused(
    tmp_path: Path, pixels: np.ndarray, options: dict[str, object], message: str
) -> None:
    tifffile.imwrite(tmp_path / "other.tif", pixels, tile=(32, 32), **options)
    with pytest.raises(BadInput, match=message):
        _ = Slide(tmp_path / "other.tif").size


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_bytes_in_a_tiff_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    right = folder / "right.tif"
    if not right.exists():
        write_pyramid(right, PIXELS[:100, :100], factors=(1, 2), tile=32)
    content = bytearray(right.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, 700))] = data.draw(st.integers(0, 255))
    path = folder / "foreign.tif"
    path.write_bytes(content)
    with suppress(BadInput):
        slide = Slide(path)
        if max(slide.size) < 5000:
            slide.overview(50)
            slide.read_square(50, 50, 40, 20)


MEASURED = """
import sys, numpy as np
from pathlib import Path
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import fit_slide
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.images.tissue import check_h_and_e
slide = Slide(Path(sys.argv[1]))
assert slide.size == (40_000, 40_000)
overview, factor = slide.overview(1000)
assert overview.shape == (1000, 1000, 3) and factor == 40
if "pyramid" in sys.argv[1]:
    check_h_and_e(slide)
    fit_slide(slide)
    assert len(tile_positions(slide, 1.0, 256, 0.0, 0.3)) > 1000
for x, y in np.random.default_rng(0).uniform(-100, 40_100, (300, 2)):
    assert slide.read_square(x, y, 500, 224).shape == (224, 224, 3)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


def peak_bytes(path: Path) -> int:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURED, str(path)], env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize("factors", [(1, 4, 16), (1,)], ids=["pyramid", "no pyramid"])
def test_forty_thousand_pixels_square_take_less_than_two_gigabytes(tmp_path: Path, factors: tuple[int, ...]) -> None:
    pattern = np.asarray(Image.fromarray(h_and_e()).resize((320, 320)))
    name = "pyramid.tif" if len(factors) > 1 else "one_level.tif"
    path = write_jpeg_tiles(tmp_path / name, pattern, BIG_SIDE, factors)
    peak = peak_bytes(path)
    print(f"{path.stat().st_size / 2**20:.0f} MiB on disk, peak {peak / 2**20:.0f} MiB")
    assert peak < MAX_BYTES


@on_linux
@pytest.mark.slow
def test_large_picture_in_strips_takes_less_than_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "stripped.tif"
    tifffile.imwrite(path, shape=(BIG_SIDE, BIG_SIDE, 3), dtype=np.uint8, photometric="rgb", bigtiff=True, metadata=None)
    peak = peak_bytes(path)  # the file is one hole on disk: black
    print(f"peak {peak / 2**20:.0f} MiB")
    assert peak < MAX_BYTES


def test_large_compressed_picture_in_one_strip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.tif"
    tifffile.imwrite(path, np.zeros((9000, 9000), np.uint8), photometric="minisblack", compression="zlib", rowsperstrip=9000)
    with pytest.raises(BadInput, match="stores 9000 x 9000 pixels in one compressed piece; save it as a tiled TIFF"):
        RegionTiff(path)
