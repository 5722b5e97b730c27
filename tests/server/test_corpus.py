"""A folder of images becomes tiles: complete or not at all, the same each time, with slides held out."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.small_site import h_and_e
from PIL import Image

from c2lst_server.tiles import build
from c2lst_server.tiles.corpus import RECORD, TILES, Corpus
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import normalise
from c2lst_shared.images.tiling import tile_positions
from c2lst_shared.presets import get_preset
from c2lst_shared.progress import Progress

BACKBONE = get_preset("tiny").backbone  # 64 px of 176 um
SCALE = 2.75


def build_corpus(images: Path, out: Path, *, workers: int = 1, progress: Progress | None = None, **how: Any) -> Corpus:
    return build.build_corpus(build.origin_of(images, **how), out, workers=workers, progress=progress)


def write_slides(folder: Path, count: int, side: int = 320) -> Path:
    """Slides under lamps of different colours."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        lamp = np.array([1.0, 1 - 0.03 * number, 1 - 0.02 * number])
        pixels = np.rint(h_and_e(number)[:side, :side] * lamp).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"slide_{number}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slides(tmp_path_factory.mktemp("corpus") / "images", 3)


@pytest.fixture(scope="module")
def corpus(images: Path) -> Corpus:
    return build_corpus(images, images.parent / "out", backbone=BACKBONE, um_per_px=SCALE)


def test_every_tile_belongs_to_one_slide_in_order(corpus: Corpus) -> None:
    slides = corpus.record.slides
    assert [slide.name for slide in slides] == ["slide_0.png", "slide_1.png", "slide_2.png"]
    assert [slide.first for slide in slides] == [0, slides[0].count, slides[0].count + slides[1].count]
    assert corpus.tiles.shape == (sum(slide.count for slide in slides), 64, 64, 3)
    assert corpus.tiles.dtype == np.uint8


def test_stored_tile_is_the_normalised_square_of_its_position(corpus: Corpus, images: Path) -> None:
    last = corpus.record.slides[2]
    slide = Slide(images / last.name)
    centres = tile_positions(slide, SCALE, BACKBONE.patch_um, 0.5, 0.5)
    assert len(centres) == last.count
    x, y = centres[5]
    raw = slide.read_square(float(x), float(y), 64, 64)
    np.testing.assert_array_equal(corpus.tiles[last.first + 5], normalise(raw[None], last.stain, corpus.record.stain)[0])


def test_one_whole_slide_of_three_is_held_out(corpus: Corpus) -> None:
    ranges = {(slide.first, slide.first + slide.count) for slide in corpus.record.slides}
    assert len(corpus.record.validation) == 1
    assert {*corpus.record.train, *corpus.record.validation} == ranges
    assert set(corpus.train_indices).isdisjoint(corpus.validation_indices)
    assert len(corpus.train_indices) + len(corpus.validation_indices) == len(corpus.tiles)


def test_tiles_open_read_only_without_being_read(corpus: Corpus) -> None:
    tiles = Corpus.open(corpus.folder).tiles
    assert isinstance(tiles, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tiles[0] = 0


def test_lamps_of_the_slides_do_not_show_in_the_tiles(corpus: Corpus) -> None:
    means = [corpus.tiles[slide.first : slide.first + slide.count].mean(axis=(0, 1, 2)) for slide in corpus.record.slides]
    assert np.ptp(means, axis=0).max() < 8


def test_reference_is_one_of_the_slides(corpus: Corpus) -> None:
    [chosen] = [slide for slide in corpus.record.slides if slide.name == corpus.record.reference]
    assert corpus.record.stain.matrix == chosen.stain.matrix


def test_second_call_changes_nothing(corpus: Corpus, images: Path) -> None:
    before = (corpus.folder / TILES).stat()
    again = build_corpus(images, corpus.folder, backbone=BACKBONE, um_per_px=SCALE)
    after = (corpus.folder / TILES).stat()
    assert again.record == corpus.record
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_same_input_gives_the_same_bytes_elsewhere(corpus: Corpus, images: Path, tmp_path: Path) -> None:
    again = build_corpus(images, tmp_path, backbone=BACKBONE, um_per_px=SCALE)
    assert again.record == corpus.record
    assert (tmp_path / TILES).read_bytes() == (corpus.folder / TILES).read_bytes()


def test_changed_image_rebuilds(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 1)
    first = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    Image.fromarray(h_and_e(7)[:320, :320]).save(images / "slide_0.png")
    second = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    assert second.record.fingerprint != first.record.fingerprint
    assert second.record.slides[0].sha256 != first.record.slides[0].sha256


def test_changed_setting_rebuilds(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 1)
    overlapping = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    count = len(overlapping.tiles)
    apart = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, overlap=0.0)
    assert len(apart.tiles) < count / 2


def left_in(out: Path) -> list[str]:
    """Names in the folder, without the lock and what the survey keeps for the next call."""
    return sorted(path.name for path in out.glob("*") if path.name not in {".lock", "cache"})


class StopsCutting:
    """Progress that fails, like a full disk, as soon as the first tiles are written."""

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        self.what = what

    def advance(self, units: int = 1, note: str = "") -> None:
        if self.what == "cutting tiles":
            raise OSError("No space left on device")


def test_failure_while_writing_leaves_no_corpus_and_no_debris(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 1)
    build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    with pytest.raises(OSError, match="No space left"):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, overlap=0.25, progress=StopsCutting())
    with pytest.raises(BadArtefact, match="holds no complete corpus"):
        Corpus.open(tmp_path / "out")
    assert left_in(tmp_path / "out") == [TILES]
    rebuilt = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, overlap=0.25)
    assert len(rebuilt.tiles) == rebuilt.record.slides[0].count


def test_tiles_that_do_not_fit_the_record_are_refused(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 1)
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    np.save(tmp_path / "out" / TILES, built.tiles[:-1].copy())
    with pytest.raises(BadArtefact, match=f"is not what {RECORD} describes"):
        Corpus.open(tmp_path / "out")
    assert len(build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE).tiles) == len(built.tiles)


@pytest.mark.parametrize("count", [1, 2])
def test_with_few_slides_the_bottom_of_each_is_held_out_without_overlap(tmp_path: Path, count: int) -> None:
    images = write_slides(tmp_path / "images", count, side=600)
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    assert len(built.record.validation) == count
    for entry, (first, stop), (held, end) in zip(built.record.slides, built.record.train, built.record.validation, strict=True):
        rows = tile_positions(Slide(images / entry.name), SCALE, BACKBONE.patch_um, 0.5, 0.5)[:, 1]
        assert rows[stop - 1 - entry.first] + 64 <= rows[held - entry.first]
        assert (first, end) == (entry.first, entry.first + entry.count)
        assert 0.05 < (end - held) / entry.count < 0.2


def test_given_reference_gives_the_stain(corpus: Corpus, images: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.png"
    Image.fromarray(np.rint(255 * (h_and_e(9) / 255) ** 1.5).astype(np.uint8)).save(target)
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, reference=target)
    assert built.record.reference == "target.png"
    assert built.tiles.mean() < corpus.tiles.mean() - 10


def test_scale_comes_from_the_tiff_tags(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(h_and_e()).save(images / "a.tif", tiffinfo={282: 10_000 / SCALE, 296: 3})
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE)
    assert built.record.slides[0].um_per_px == pytest.approx(SCALE, rel=1e-3)


def test_images_of_different_sizes_and_other_files_are_fine(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 2)
    Image.fromarray(h_and_e(3)[:600, :150]).save(images / "narrow.jpg", quality=95)
    (images / "notes.txt").write_text("not an image")
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    assert [slide.name for slide in built.record.slides] == ["narrow.jpg", "slide_0.png", "slide_1.png"]
    assert all(slide.count > 0 for slide in built.record.slides)


def add_unreadable(folder: Path) -> None:
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")


def add_small(folder: Path) -> None:
    Image.fromarray(h_and_e()[200:240, 200:500]).save(folder / "b.png")


def add_gray(folder: Path) -> None:
    Image.fromarray(h_and_e()[..., 1]).save(folder / "b.png")


def add_unscaled_blank(folder: Path) -> None:
    Image.new("RGB", (100, 100), "white").save(folder / "b.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(add_unreadable, r"b\.png is not an image that can be read", id="unreadable"),
        pytest.param(add_small, r"b\.png has 300 x 40 pixels, less than one tile", id="small"),
        pytest.param(add_gray, r"b\.png is blank or has no colour", id="gray"),
        pytest.param(add_unscaled_blank, r"b\.png is blank or has no colour", id="blank"),
    ],
)
def test_unusable_image_is_named_and_nothing_is_written(tmp_path: Path, spoil: object, message: str) -> None:
    images = write_slides(tmp_path / "images", 1)
    assert callable(spoil)
    spoil(images)
    with pytest.raises(BadInput, match=message):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    assert left_in(tmp_path / "out") == []


def test_all_unusable_images_are_named_together(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in "abcdefg":
        Image.new("RGB", (100, 100), "white").save(images / f"{name}.png")
    with pytest.raises(BadInput, match=r"^7 of 7 images cannot be used: .*a\.png .* .*e\.png .*\(and 2 more\)$"):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)


def test_unknown_scale_asks_for_it(images: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not say how large its pixels are; pass --um-per-px"):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE)


def test_too_much_tissue_asked_for_gives_no_tile(images: Path, tmp_path: Path) -> None:
    Image.fromarray(h_and_e()[:100, :100]).save(tmp_path / "corner.png")
    with pytest.raises(BadInput, match=r"No tile of 176 um in .* shows 100% tissue; lower --min-tissue"):
        build_corpus(tmp_path, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, min_tissue=1.0)


def test_slide_with_too_few_tiles_to_hold_some_out_is_refused(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(h_and_e()[200:280, 200:600]).save(images / "strip.png")
    with pytest.raises(BadInput, match="too few to hold some out for validation; add images"):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"um_per_px": 0.0}, "A scale of 0.0 um per pixel is impossible"),
        ({"um_per_px": float("nan")}, "A scale of nan um per pixel is impossible"),
        ({"um_per_px": SCALE, "overlap": 1.0}, "An overlap of 1.0 is not possible"),
        ({"um_per_px": SCALE, "min_tissue": 1.2}, "A least tissue fraction of 1.2 is not possible"),
    ],
)
def test_impossible_number_is_refused(images: Path, tmp_path: Path, numbers: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build_corpus(images, tmp_path / "out", backbone=BACKBONE, **numbers)


def test_empty_and_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no image"):
        build_corpus(tmp_path, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)
    with pytest.raises(BadInput, match="There is no folder"):
        build_corpus(tmp_path / "absent", tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE)


@pytest.mark.slow
def test_memory_stays_below_the_size_of_the_tiles(tmp_path: Path) -> None:
    images = write_slides(tmp_path / "images", 2, side=600)
    tracemalloc.start()
    built = build_corpus(images, tmp_path / "out", backbone=BACKBONE, um_per_px=SCALE, overlap=0.9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < built.tiles.nbytes
