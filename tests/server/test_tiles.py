"""Corpora from ready-made tiles, in several processes, in parts, and after kill -9: always the same tiles, or one sentence."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.small_site import h_and_e
from fakes.tile_folder import SCALE, write_slides, write_tiles
from PIL import Image
from typer.testing import CliRunner

from c2lst_server.cli import app
from c2lst_server.tiles.build import build_corpus, origin_of
from c2lst_server.tiles.corpus import RECORD, Corpus
from c2lst_server.tiles.merge import merge
from c2lst_server.tiles.parts import build_part, part_folder, part_from_text
from c2lst_server.tiles.sources import SlideImage, TileGroup, find_sources, kind_from_text
from c2lst_server.training.pretrain import fitted_to
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.presets import get_preset

BACKBONE = get_preset("tiny").backbone


def built(images: Path, out: Path, workers: int = 1, **how: Any) -> Corpus:
    return build_corpus(origin_of(images, backbone=BACKBONE, **{"um_per_px": SCALE, **how}), out, workers=workers)


def in_parts(images: Path, out: Path, parts: int, **how: Any) -> Corpus:
    for part in range(parts):
        build_part(origin_of(images, backbone=BACKBONE, **{"um_per_px": SCALE, **how}), out, part, parts)
    return merge(out)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slides(tmp_path_factory.mktemp("tiles") / "slides", 4)


@pytest.fixture(scope="module")
def undivided(slides: Path) -> Corpus:
    return built(slides, slides.parent / "undivided")


def test_tiles_of_one_slide_are_one_group_whatever_their_class(tmp_path):
    corpus = built(write_tiles(tmp_path / "images"), tmp_path / "out")
    assert [slide.name for slide in corpus.record.slides] == ["S0", "S1", "S2"]
    assert [slide.count for slide in corpus.record.slides] == [12, 12, 12]
    assert len(corpus.validation_indices) == 12
    assert set(corpus.train_indices).isdisjoint(corpus.validation_indices)


def test_metadata_says_which_slide_a_tile_shows(tmp_path):
    images = write_tiles(tmp_path / "images", slides=2)
    files = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    rows = "".join(f"{name},case{number % 3}\n" for number, name in enumerate(files))
    (images / "metadata.csv").write_text("File_Name,slide_id\n" + rows)
    assert [source.name for source in find_sources(images)] == ["case0", "case1", "case2"]
    (images / "metadata.csv").unlink()
    table = [{"path": name.split("/")[-1], "patient": "P1"} for name in files]
    (images / "metadata.json").write_text(json.dumps(table))
    assert [source.name for source in find_sources(images)] == ["P1"]


def test_damaged_metadata_is_named(tmp_path):
    images = write_tiles(tmp_path / "images", slides=1)
    (images / "metadata.json").write_text("[{")
    with pytest.raises(BadInput, match=r"metadata\.json cannot be read as a table of tiles .* mend it or move it away"):
        find_sources(images)


def test_tiles_without_a_slide_in_their_names_are_grouped_by_folder(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.fromarray(h_and_e()[100:164, 100:164]).save(tmp_path / folder / f"tile_{number}.png")
    assert [source.name for source in find_sources(tmp_path)] == ["a", "b"]


def test_large_images_in_subfolders_are_slides_and_a_person_can_say_so(tmp_path):
    write_slides(tmp_path / "case1", 1, side=600)
    assert isinstance(find_sources(tmp_path, tile_px=64)[0], SlideImage)
    assert isinstance(find_sources(tmp_path, tile_px=64, kind="tiles")[0], TileGroup)
    assert isinstance(find_sources(tmp_path)[0], TileGroup)
    with pytest.raises(BadInput, match="--kind is slides or tiles, not 'cells'"):
        kind_from_text("cells")


def test_damaged_and_small_tiles_are_counted(tmp_path):
    images = write_tiles(tmp_path / "images")
    (images / "breast" / "stroma" / "S0_9_9.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    Image.fromarray(h_and_e()[100:130, 100:130]).save(images / "breast" / "stroma" / "S0_8_8.png")
    corpus = built(images, tmp_path / "out")
    assert corpus.record.slides[0].refused == {"small": 1, "unreadable": 1}
    assert corpus.record.slides[0].count == 12


def test_tiles_that_show_too_little_ask_for_the_right_size(tmp_path):
    images = write_tiles(tmp_path / "images", px=40)
    with pytest.raises(BadInput, match=r"shows 110 um, less than a tile of 176 um; pass --patch-um"):
        built(images, tmp_path / "out")
    assert not (tmp_path / "out" / RECORD).exists()


def test_tile_that_is_in_two_slides_counts_once(tmp_path):
    images = write_tiles(tmp_path / "images")
    first = images / "breast" / "stroma" / "S0_100_100.png"
    (images / "breast" / "tumour" / "S2_1_1.png").write_bytes(first.read_bytes())
    corpus = built(images, tmp_path / "out")
    assert [slide.duplicates for slide in corpus.record.slides] == [0, 0, 1]


def test_slide_with_few_tiles_borrows_the_stain(tmp_path):
    images = write_tiles(tmp_path / "images")
    Image.fromarray(h_and_e(8)[200:264, 200:264]).save(images / "breast" / "stroma" / "S9_1_1.png")
    corpus = built(images, tmp_path / "out")
    assert corpus.record.slides[-1].name == "S9"
    assert corpus.record.slides[-1].count == 1


def test_pen_mark_on_a_slide_costs_its_tiles_only(tmp_path):
    images = write_slides(tmp_path / "images", 3)
    pixels = h_and_e(0)[:320, :320].copy()
    pixels[150:200, 100:300] = (30, 60, 180)
    Image.fromarray(pixels).save(images / "slide_0.png")
    filtered = built(images, tmp_path / "out").record.slides
    everything = built(images, tmp_path / "all", quality_filter=False).record.slides
    assert set(filtered[0].refused) == {"pen"}
    assert filtered[0].count + filtered[0].refused["pen"] == everything[0].count
    assert everything[0].refused == filtered[1].refused == {}


def test_added_image_does_not_have_the_others_looked_at_again(tmp_path):
    images = write_slides(tmp_path / "images", 3)
    built(images, tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cache").iterdir()}
    Image.fromarray(h_and_e(7)[:320, :320]).save(images / "slide_9.png")
    assert len(built(images, tmp_path / "out").record.slides) == 4
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cache").iterdir()}
    assert before.items() < after.items()


def test_damaged_cache_is_made_again(tmp_path, slides, undivided):
    (tmp_path / "cache").mkdir()
    for path in (undivided.folder / "cache").iterdir():
        (tmp_path / "cache" / path.name).write_bytes(path.read_bytes()[:-300])
    assert built(slides, tmp_path).record == undivided.record


@pytest.mark.slow
def test_number_of_processes_changes_nothing(tmp_path, slides, undivided):
    several = built(slides, tmp_path, workers=3)
    assert several.record == undivided.record
    np.testing.assert_array_equal(several.tiles, undivided.tiles)


@pytest.mark.parametrize("parts", [1, 3])
def test_parts_make_the_same_corpus(tmp_path, slides, undivided, parts):
    corpus = in_parts(slides, tmp_path, parts)
    assert corpus.record.model_copy(update={"shards": ()}) == undivided.record
    rows = np.arange(len(undivided.tiles))
    np.testing.assert_array_equal(corpus.tiles.read(rows), undivided.tiles)
    np.testing.assert_array_equal(corpus.tiles[-1], undivided.tiles[-1])
    with pytest.raises(IndexError, match="row"):
        corpus.tiles[len(rows)]


def test_shards_are_webdatasets_of_tiles_as_they_were_scanned(tmp_path, slides):
    in_parts(slides, tmp_path, 1)
    import tarfile

    [path] = sorted(part_folder(tmp_path, 0, 1).glob("*.tar"))
    with tarfile.open(path) as archive:
        names = archive.getnames()[:2]
        described = json.load(archive.extractfile(next(name for name in names if name.endswith(".json"))))
        [name] = [name for name in names if name.endswith(".png")]
        tile = np.asarray(Image.open(archive.extractfile(name)))
    assert {name.partition(".")[0] for name in names} == {name.partition(".")[0]}
    x, y = described["place"]
    left, top = round(x - 32), round(y - 32)
    pixels = np.asarray(Image.open(slides / described["slide"]))
    np.testing.assert_array_equal(tile, pixels[top : top + 64, left : left + 64])


def test_repeated_tiles_are_found_across_parts(tmp_path):
    images = write_slides(tmp_path / "images", 3)
    (images / "copy.png").write_bytes((images / "slide_1.png").read_bytes())
    whole = built(images, tmp_path / "whole")
    assert whole.record.slides[2].duplicates > 0
    assert in_parts(images, tmp_path / "parts", 4).record.model_copy(update={"shards": ()}) == whole.record


def test_missing_part_is_named(tmp_path, slides):
    with pytest.raises(BadInput, match="holds no finished part; run tiles build --shard"):
        merge(tmp_path)
    build_part(origin_of(slides, backbone=BACKBONE, um_per_px=SCALE), tmp_path, 1, 3)
    with pytest.raises(BadInput, match=r"Of 3 parts in .*, 2 are missing .* --shard 0/3, 2/3\."):
        merge(tmp_path)


def test_parts_of_different_settings_are_refused(tmp_path, slides):
    for part, overlap in ((0, 0.5), (1, 0.25)):
        build_part(origin_of(slides, backbone=BACKBONE, um_per_px=SCALE, overlap=overlap), tmp_path, part, 2)
    with pytest.raises(BadInput, match=r"Parts 0 and 1 in .* were built from different images or settings"):
        merge(tmp_path)


def test_damaged_shard_is_named(tmp_path, slides):
    corpus = in_parts(slides, tmp_path, 1)
    [path] = sorted(part_folder(tmp_path, 0, 1).glob("*.tar"))
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(BadArtefact, match="does not hold tile 0 of the corpus; delete the shard and build that part again"):
        Corpus.open(corpus.folder).tiles[0]


@pytest.mark.parametrize("text", ["3", "3/3", "-1/3", "a/b", "0/0", "1/99999"])
def test_impossible_part_is_refused(text):
    with pytest.raises(BadInput, match=r"not of the form i/n|There is no part"):
        part_from_text(text)


def test_training_takes_the_tile_size_of_the_corpus_and_refuses_another(tmp_path):
    small = BACKBONE.model_copy(update={"patch_um": 110.0})
    origin = origin_of(write_tiles(tmp_path / "images"), backbone=small, um_per_px=SCALE, organ="breast")
    corpus = build_corpus(origin, tmp_path / "out")
    assert fitted_to(get_preset("tiny"), corpus, "breast").backbone.patch_um == 110.0
    with pytest.raises(BadInput, match="is a corpus of breast, not of mob"):
        fitted_to(get_preset("tiny"), corpus, "mob")
    with pytest.raises(BadInput, match="has tiles of 64 px, but preset paper wants 128"):
        fitted_to(get_preset("paper"), corpus, "breast")


def build_slowly(images: str, out: str) -> None:
    built(Path(images), Path(out))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.3, 1.0])
def test_killed_build_is_finished_by_the_next_call(tmp_path, slides, undivided, seconds):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))
    process = multiprocessing.get_context("fork").Process(target=build_slowly, args=(str(slides), str(tmp_path)))
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "cache").exists() and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.005)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert built(slides, tmp_path).record == undivided.record
    assert not list(tmp_path.rglob("*.part"))


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_commands_build_parts_merge_and_show(tmp_path, slides):
    common = ("--images", slides, "--out", tmp_path, "--preset", "tiny", "--um-per-px", SCALE, "--organ", "mob", "--workers", 1)
    for part in ("0/2", "1/2"):
        assert "Next, when all parts are built" in invoke("tiles", "build", *common, "--shard", part)
    assert "4 slides" in invoke("tiles", "merge", tmp_path)
    shown = invoke("tiles", "show", tmp_path)
    assert "slide_3.png" in shown
    assert "held out" in shown
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.size[0] > 500
    assert json.loads(invoke("tiles", "show", tmp_path, "--json"))["organ"] == "mob"


def test_one_command_builds_either_format(tmp_path, slides):
    common = ("--images", slides, "--preset", "tiny", "--um-per-px", SCALE, "--workers", 1)
    lines = [invoke("tiles", "build", *common, "--out", tmp_path / kind, "--format", kind) for kind in ("npy", "webdataset")]
    assert lines[0].splitlines()[-6:] == lines[1].splitlines()[-6:]
