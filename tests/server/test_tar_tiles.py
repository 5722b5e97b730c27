"""Ready-made tiles in WebDataset shards: ours, other people's, and broken ones; and a build of shards that is killed."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from fakes.small_site import h_and_e
from fakes.tile_folder import SCALE, write_slides, write_tiles
from PIL import Image

from c2lst_server.tiles.build import build_corpus, origin_of
from c2lst_server.tiles.merge import merge
from c2lst_server.tiles.parts import PARTS, build_part, part_folder
from c2lst_server.tiles.ready_made import TileGroup
from c2lst_server.tiles.sources import find_sources
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import get_preset

BACKBONE = get_preset("tiny").backbone


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tiles_of(slide: int, count: int = 12) -> list[np.ndarray]:
    pixels = h_and_e(slide)
    corners = [(100 + 70 * (number // 4), 100 + 70 * (number % 4)) for number in range(count)]
    return [pixels[y : y + 64, x : x + 64] for y, x in corners]


def test_shards_of_another_centre_are_grouped_as_their_json_says(tmp_path):
    images = tmp_path / "images"
    for part in range(2):
        members = {}
        for slide in range(3):
            for number, tile in enumerate(tiles_of(slide)):
                if number % 2 == part:
                    members[f"train/{slide}{number:04}.jpg"] = encoded(tile, "JPEG")
                    members[f"train/{slide}{number:04}.json"] = json.dumps(
                        {"Case_ID": f"P{slide}", "um_per_px": SCALE}
                    ).encode()
        shard(images / f"{part:05}.tar", members)
    corpus = build_corpus(origin_of(images, backbone=BACKBONE), tmp_path / "out")
    assert [(slide.name, slide.count, slide.um_per_px) for slide in corpus.record.slides] == [
        (f"P{n}", 12, SCALE) for n in range(3)
    ]


def test_files_and_shards_of_the_same_tiles_give_the_same_corpus(tmp_path):
    folder = write_tiles(tmp_path / "files")
    files = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.png"), key=lambda path: path.relative_to(folder))}
    shard(tmp_path / "shards" / "0.tar", files)
    of_files = build_corpus(origin_of(folder, backbone=BACKBONE, um_per_px=SCALE), tmp_path / "a")
    of_shards = build_corpus(origin_of(tmp_path / "shards", backbone=BACKBONE, um_per_px=SCALE), tmp_path / "b")
    assert (
        [slide.name for slide in of_shards.record.slides]
        == [slide.name for slide in of_files.record.slides]
        == ["S0", "S1", "S2"]
    )
    assert of_shards.record.stain == of_files.record.stain
    np.testing.assert_array_equal(of_shards.tiles, of_files.tiles)


def test_our_own_shards_are_read_back(tmp_path):
    slides = write_slides(tmp_path / "slides", 3)
    build_part(origin_of(slides, backbone=BACKBONE, um_per_px=SCALE), tmp_path / "first", 0, 1)
    first = merge(tmp_path / "first")
    again = build_corpus(origin_of(tmp_path / "first" / PARTS, backbone=BACKBONE, quality_filter=False), tmp_path / "again")
    assert [slide.count for slide in again.record.slides] == [slide.count for slide in first.record.slides]
    assert again.record.slides[0].um_per_px == pytest.approx(BACKBONE.patch_um / BACKBONE.image_px)


def test_damaged_tile_costs_itself_only(tmp_path):
    members = {f"S{slide}_{number}.png": encoded(tile) for slide in range(3) for number, tile in enumerate(tiles_of(slide))}
    members["S1_3.png"] = b"\x89PNG\r\n\x1a\n nothing"
    shard(tmp_path / "images" / "0.tar", members)
    corpus = build_corpus(origin_of(tmp_path / "images", backbone=BACKBONE, um_per_px=SCALE), tmp_path / "out")
    assert [(slide.count, slide.refused) for slide in corpus.record.slides] == [(12, {}), (11, {"unreadable": 1}), (12, {})]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not a tar" * 200, r"0\.tar cannot be read as a tar shard .*; write it again"),
        (b"", r"0\.tar cannot be read as a tar shard .*; write it again"),
        (None, r"0\.tar cannot be read as a tar shard \(unexpected end of data\); write it again"),
    ],
)
def test_broken_shard_is_named(tmp_path, content, sentence):
    path = shard(tmp_path / "0.tar", {"a.png": encoded(tiles_of(0)[0])})
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(BadInput, match=sentence):
        find_sources(tmp_path)


def test_shards_without_images_or_beside_images_are_refused(tmp_path):
    shard(tmp_path / "0.tar", {"a.txt": b"x"})
    with pytest.raises(BadInput, match=r"0\.tar holds no image; a shard has KEY\.png"):
        find_sources(tmp_path)
    write_slides(tmp_path, 1)
    with pytest.raises(BadInput, match=r"holds images \(slide_0\.png\) and tar shards \(0\.tar\); keep them in folders apart"):
        find_sources(tmp_path)


def test_tiles_of_one_slide_have_one_scale(tmp_path):
    tile = encoded(tiles_of(0)[0])
    members = {"S1_0.png": tile, "S1_0.json": b'{"um_per_px": 0.5}', "S1_1.png": tile, "S1_1.json": b'{"um_per_px": 1}'}
    shard(tmp_path / "0.tar", members)
    with pytest.raises(BadInput, match=r"The tiles of S1 .* have different um_per_px; give them one scale"):
        find_sources(tmp_path)


def test_broken_json_and_names_without_a_slide(tmp_path):
    tile = encoded(tiles_of(0)[0])
    shard(tmp_path / "case7.tar", {"tile_1.png": tile, "tile_1.json": b"[[[", "tile_2.png": tile, "tile_2.json": b"[1]"})
    [group] = find_sources(tmp_path)
    assert isinstance(group, TileGroup)
    assert (group.name, len(group)) == ("case7", 2)
    with pytest.raises(BadInput, match="does not say how large its pixels are; pass --um-per-px"):
        group.scale(None)


def test_picture_that_only_belongs_to_a_slide_is_no_source(tmp_path):
    write_slides(tmp_path, 1)
    (tmp_path / "S.vms").write_text("[Virtual Microscope Specimen]\nImageFile=slide_0.png\n")
    assert [source.name for source in find_sources(tmp_path)] == ["S.vms"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_killed_part_is_finished_by_the_next_call_and_leaves_no_process(tmp_path, seconds):
    slides = write_slides(tmp_path / "slides", 4)
    command = [sys.executable, "-m", "c2lst_server", "tiles", "build", "--images", str(slides), "--out", str(tmp_path / "out")]
    command += ["--um-per-px", str(SCALE), "--preset", "tiny", "--shard", "0/1", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part, children = part_folder(tmp_path / "out", 0, 1), set()
    deadline = time.monotonic() + 120
    while not list(part.glob("cache/*")) and time.monotonic() < deadline and process.poll() is None:
        children |= set(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert children
    _, alive = psutil.wait_procs(list(children), timeout=20)
    assert not alive
    undivided = build_corpus(origin_of(slides, backbone=BACKBONE, um_per_px=SCALE), tmp_path / "whole")
    assert subprocess.run(command, capture_output=True).returncode == 0
    corpus = merge(tmp_path / "out")
    assert corpus.record.model_copy(update={"shards": ()}) == undivided.record
    np.testing.assert_array_equal(corpus.tiles.read(np.arange(len(undivided.tiles))), undivided.tiles)
    assert not list((tmp_path / "out").rglob("*.part"))
