"""SpatialData stores and HEST samples with a file damaged, cut short or gone are read or refused: no other error gets out."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from fakes.hest_site import write_hest, write_spatialdata
from fakes.small_site import SmallSite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, get_codec
from numcodecs.vlen import VLenUTF8

from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadArtefact, BadInput

TRIES = settings(derandomize=True, max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCALE = 200 / 72
BYTES = st.one_of(st.integers(0, 255), st.sampled_from(b'0-9"[]{}'))

Change = Callable[[bytes], bytes | None]


def _small() -> SmallSite:
    """Few genes, so that damage hits what matters."""
    site = SmallSite()
    return SmallSite(counts=site.counts[:, :4], genes=site.genes[:4])


def _hest(root: Path, **arguments: bool) -> Path:
    return write_hest(_small(), root, metadata={"pixel_size_um_estimated": SCALE}, **arguments)


KINDS: dict[str, Callable[[Path], Path]] = {
    "Zarr 2": lambda root: write_spatialdata(_small(), root / "s.zarr", zarr_format=2),
    "Zarr 3": lambda root: write_spatialdata(_small(), root / "s.zarr", zarr_format=3),
    "Zarr 2, circles in arrays": lambda root: write_spatialdata(_small(), root / "s.zarr", shapes="arrays"),
    "Zarr 3, circles as GeoArrow": lambda root: write_spatialdata(_small(), root / "s.zarr", zarr_format=3, shapes="geoarrow"),
    "HEST patches": _hest,
    "HEST slide": lambda root: _hest(root, wsi=True, patches=False),
}


@pytest.fixture(scope="module", params=KINDS)
def right(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("right"))


def read(path: Path) -> None:
    """Read spots and patches, or be refused in our own words."""
    sentence = "."
    try:
        spots = read_spots(path, um_per_px=SCALE)
        assert len(spots) >= 20
        for index in (0, len(spots) - 1):
            assert spots.patch(index, 100.0, 32).shape == (32, 32, 3)
    except (BadInput, BadArtefact) as error:
        sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence


@contextmanager
def changed(file: Path, change: Change) -> Iterator[None]:
    """Have a file's content changed, or the file gone, and put it back."""
    content = file.read_bytes()
    new = change(content)
    try:
        if new is None:
            file.unlink()
        else:
            file.write_bytes(new)
        yield
    finally:
        file.write_bytes(content)


def test_undamaged_samples_are_read(right: Path) -> None:
    assert len(read_spots(right, um_per_px=SCALE)) == 49


def _gone(content: bytes) -> None:
    return None


def _halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _zeros(content: bytes) -> bytes:
    return bytes(len(content))


@pytest.mark.slow
@pytest.mark.parametrize("change", [_gone, _halved, _zeros])
def test_every_file_may_be_gone_or_worthless(right: Path, change: Change) -> None:
    for file in sorted(path for path in right.rglob("*") if path.is_file()):
        with changed(file, change):
            read(right)


@pytest.mark.slow
def test_every_folder_may_be_gone(right: Path, tmp_path: Path) -> None:
    for folder in sorted(path for path in right.rglob("*") if path.is_dir()):
        shutil.move(folder, tmp_path / "away")
        read(right)
        shutil.move(tmp_path / "away", folder)


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes overwritten, or a piece replaced, doubled or missing, or the end cut off."""
    if not content:
        return draw(st.binary(max_size=20))
    places = st.integers(0, len(content) - 1)
    match draw(st.sampled_from(["bytes", "piece", "end"])):
        case "bytes":
            new = bytearray(content)
            for place, value in draw(st.lists(st.tuples(places, BYTES), min_size=1, max_size=8)):
                new[place] = value
            return bytes(new)
        case "piece":
            begin = draw(places)
            end = min(begin + draw(st.integers(0, 40)), len(content))
            return content[:begin] + draw(st.one_of(st.binary(max_size=40), st.just(content[begin:end] * 2))) + content[end:]
        case _:
            return content[: draw(places)]


@pytest.mark.slow
def test_damage_anywhere_is_read_or_refused(right: Path) -> None:
    files = sorted(path for path in right.rglob("*") if path.is_file())

    @TRIES
    @given(st.data())
    def spoil_and_read(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))
        with changed(file, lambda content: data.draw(spoilt(content))):
            read(right)

    spoil_and_read()


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Zarr 2", "Zarr 3", "Zarr 2, circles in arrays", "HEST patches"])
def test_any_value_in_the_metadata_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    """JSON that is well formed and says something else gets further than broken bytes do."""
    import json

    path = KINDS[kind](tmp_path)
    names = (".zattrs", ".zarray", ".zgroup", "zarr.json", "S1.json")
    files = sorted(file for file in path.rglob("*") if file.name in names)

    @TRIES
    @given(st.data())
    def spoil_and_read(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(files))

        def replaced(value: object) -> object:
            """Replace one value somewhere inside, or leave it out."""
            if not value or not isinstance(value, dict | list) or data.draw(st.integers(0, 4)) == 0:
                return data.draw(JUNK)
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            key = data.draw(st.sampled_from(keys))
            if data.draw(st.integers(0, 5)) == 0:
                del value[key]
            else:
                value[key] = replaced(value[key])
            return value

        with changed(file, lambda content: json.dumps(replaced(json.loads(content))).encode()):
            read(path)

    spoil_and_read()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunk_that_announces_billions_of_strings_is_refused_before_they_are_made(tmp_path: Path, zarr_format: int) -> None:
    """Room for them was filled until the system ended the process: nothing that could be caught."""
    path = write_spatialdata(_small(), tmp_path / "s.zarr", zarr_format=zarr_format)
    names = zarr.open_group(str(path), mode="r", use_consolidated=False)["tables/table/var/_index"]
    codec = names.compressors[0]
    chunk = path / "tables/table/var/_index" / ("0" if zarr_format == 2 else "c/0")
    strings = b"\xff\xff\xff\x7f" + bytes(VLenUTF8().encode(np.array(["a", "b", "c", "d"], object)))[4:]
    own = codec if zarr_format == 2 else get_codec({"id": "zstd"})
    chunk.write_bytes(bytes(own.encode(strings)))
    with pytest.raises(BadInput, match="a chunk announces more strings than it holds"):
        read_spots(path, um_per_px=SCALE)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "a chunk is cut short"),
        (struct.pack("<4B3I", 2, 1, 0x23, 1, 64, 64, 1 << 20), "a chunk is cut short"),
        (struct.pack("<4B3I", 2, 1, 0x23, 1, 1 << 30, 64, 16), "a chunk claims 1,073,741,824 bytes"),
    ],
    ids=["none", "longer than the file", "large"],
)
def test_blosc_chunk_that_claims_too_much_is_refused(tmp_path: Path, header: bytes, reason: str) -> None:
    path = write_spatialdata(_small(), tmp_path / "s.zarr")
    (path / "tables" / "table" / "X" / "data" / "0").write_bytes(header)
    with pytest.raises(BadInput, match=reason):
        read_spots(path, um_per_px=SCALE)


def test_numcodecs_is_as_it_was_after_reading(tmp_path: Path) -> None:
    before = (Blosc.decode, VLenUTF8.decode)
    read(write_spatialdata(_small(), tmp_path / "s.zarr"))
    assert (Blosc.decode, VLenUTF8.decode) == before


@pytest.mark.parametrize("name", ["img", "coords", "barcode"])
@pytest.mark.parametrize(
    "stored",
    [
        np.zeros(0),
        np.zeros((49, 0)),
        np.array(b"one"),
        np.zeros((49, 2), [("x", "f8"), ("y", "f8")]),
        np.zeros((49, 56, 56, 3), np.uint8)[:3],
        h5py.Empty("f4"),
        np.array([[b"\xff"]] * 49),
        np.full((49, 2), 2.0**62),
        np.full((49, 1), b""),
    ],
    ids=["none", "no columns", "scalar", "fields", "too few", "empty", "no UTF-8", "far", "nameless"],
)
def test_patches_with_an_array_of_another_kind_are_refused(tmp_path: Path, name: str, stored: object) -> None:
    path = write_hest(_small(), tmp_path)
    with h5py.File(path / "patches" / "S1.h5", "r+") as file:
        del file[name]
        file[name] = stored
    with pytest.raises(BadInput):
        read_spots(path, um_per_px=SCALE)
