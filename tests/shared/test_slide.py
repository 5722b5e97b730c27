"""Pixels enter through one door: every damaged, strange or scaled file is read right or refused in one sentence."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide


def gradient(width: int = 60, height: int = 40) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.full_like(rows, 200)], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    Image.fromarray(gradient()).save(path)
    return Slide(path)


def test_square_of_its_own_size_is_cut_without_resampling(slide: Slide) -> None:
    square = slide.read_square(30, 20, 16, 16)
    np.testing.assert_array_equal(square, gradient()[12:28, 22:38])


def test_square_within_two_percent_of_its_size_is_not_resampled(slide: Slide) -> None:
    np.testing.assert_array_equal(slide.read_square(30, 20, 16.3, 16), slide.read_square(30, 20, 16, 16))


def test_shrunk_square_keeps_its_centre_colour(slide: Slide) -> None:
    square = slide.read_square(30, 20, 32, 8)
    assert square.shape == (8, 8, 3)
    np.testing.assert_allclose(square.reshape(-1, 3).mean(axis=0), [29.5, 19.5, 200], atol=0.7)


def test_square_over_the_edge_repeats_the_edge(slide: Slide) -> None:
    square = slide.read_square(0, 0, 10, 10)
    np.testing.assert_array_equal(square[:5, :5], np.broadcast_to(gradient()[0, 0], (5, 5, 3)))
    np.testing.assert_array_equal(square[5:, 5:], gradient()[:5, :5])


@given(x=st.floats(-50, 150), y=st.floats(-50, 150), side=st.floats(0.1, 90), out_px=st.integers(1, 40))
def test_any_square_has_the_asked_size(slide: Slide, x: float, y: float, side: float, out_px: int) -> None:
    assert slide.read_square(x, y, side, out_px).shape == (out_px, out_px, 3)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no image .*absent\.png"):
        _ = Slide(tmp_path / "absent.png").size


def test_text_file_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("not pixels")
    with pytest.raises(BadInput, match="is not an image that can be read"):
        _ = Slide(path).size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_file_cut_short_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadInput, match=r"cannot be decoded|is not an image that can be read"):
        _ = Slide(path).shrunk(1)


def test_transparent_part_becomes_white(tmp_path: Path) -> None:
    layered = np.zeros((10, 10, 4), np.uint8)
    layered[:5] = (200, 100, 150, 255)
    Image.fromarray(layered).save(tmp_path / "layered.png")
    pixels = Slide(tmp_path / "layered.png").shrunk(1)
    assert pixels[0, 0].tolist() == [200, 100, 150]
    assert pixels[9, 9].tolist() == [255, 255, 255]


def test_sixteen_bit_image_is_refused_rather_than_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.tif")
    with pytest.raises(BadInput, match="8 bits per channel"):
        _ = Slide(tmp_path / "deep.tif").shrunk(1)


def test_oversized_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (8, 8)).save(tmp_path / "huge.png")
    content = bytearray((tmp_path / "huge.png").read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 12_501)  # the header's width and height
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "huge.png").write_bytes(content)
    with pytest.raises(BadInput, match="20000 x 12501 pixels, more than 250,000,000"):
        _ = Slide(tmp_path / "huge.png").size


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        pytest.param({282: 50_800.0, 296: 2}, 0.5, id="per inch"),
        pytest.param({282: 20_000.0, 296: 3}, 0.5, id="per centimetre"),
        pytest.param({282: 72.0, 296: 2}, None, id="an editor's 72 dpi"),
        pytest.param({282: 50_800.0, 296: 1}, None, id="no unit"),
        pytest.param({270: '<OME><Pixels PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"/></OME>'}, 0.25, id="OME"),
        pytest.param({270: '<OME><Pixels PhysicalSizeX="0.25"/></OME>'}, 0.25, id="OME in its default unit"),
        pytest.param({270: '<OME><Pixels PhysicalSizeX="0.25" PhysicalSizeXUnit="mm"/></OME>'}, None, id="OME in mm"),
        pytest.param({}, None, id="no tags"),
    ],
)
def test_scale_is_read_from_tiff_tags(tmp_path: Path, tags: dict[int, float | int | str], expected: float | None) -> None:
    path = tmp_path / "scaled.tif"
    Image.fromarray(gradient()).save(path, tiffinfo=tags)
    assert Slide(path).um_per_px == (None if expected is None else pytest.approx(expected))


def test_png_says_nothing_of_its_scale(slide: Slide) -> None:
    assert slide.um_per_px is None
