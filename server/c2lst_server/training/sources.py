"""Where tiles come from: slides, which are cut, and folders of ready-made tiles, which are grouped by the slide they show.

A source is what has one stain: a slide, or the tiles of one slide. Each can say its digest and its scale and read tiles.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from c2lst_server.training.metadata import slides_in_metadata
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES, Slide
from c2lst_shared.images.tissue import Pixels

Kind = Literal["slides", "tiles"]
Reader = Callable[[npt.NDArray[np.float64]], Pixels]  # from a place (two numbers) to a tile, P x P x 3

TILE_PX = 1024  # an image up to this side may be a tile, where the scale does not say
TILE_SIDES = 4  # an image up to this many tiles' side may be a tile
LOOKED_AT = 64  # images whose size is looked at to tell slides from tiles
CROP_TOLERANCE = 0.98  # a tile may fall short of the asked tissue by this much: scales are rounded
_NUMBERS_AT_END = re.compile(r"(?:[_-]+[xy]?\d+)+$", re.IGNORECASE)  # positions and counters: _1024_2048, _x3_y7, -12


@dataclass(frozen=True)
class SlideImage:
    """A slide that is cut on the fly; its places are the centres of tiles, in pixels."""

    name: str
    path: Path

    def sha256(self) -> str:
        """Digest of the file."""
        return sha256_of(self.path)

    def reader(self, um_per_px: float, patch_um: float, image_px: int, slide: Slide | None = None) -> Reader:
        """Return a function from one place (x, y) to its tile; `slide` is the image where it is open already."""
        opened, side = slide or Slide(self.path), patch_um / um_per_px
        return lambda place: opened.read_square(float(place[0]), float(place[1]), side, image_px)


@dataclass(frozen=True)
class TileGroup:
    """Ready-made tiles of one slide; a place is the number of a file, twice."""

    name: str
    folder: Path
    files: tuple[str, ...]  # below the folder, sorted

    def sha256(self) -> str:
        """Digest over the names and contents of the files."""
        digests = [[name, sha256_of(self.folder / name)] for name in self.files]
        return hashlib.sha256(repr(digests).encode()).hexdigest()

    def reader(self, um_per_px: float, patch_um: float, image_px: int) -> Reader:
        """Return a function from one place to the middle of that file, as large as a tile.

        It raises `BadInput` for a file that is no image and `TooSmall` for one that shows less tissue than a tile.
        """
        side = patch_um / um_per_px

        def read(place: npt.NDArray[np.float64]) -> Pixels:
            slide = Slide(self.folder / self.files[int(place[0])])
            width, height = slide.size
            if min(width, height) < CROP_TOLERANCE * side:
                raise TooSmall(
                    f"{slide.path} shows {min(width, height) * um_per_px:.0f} um, less than a tile of {patch_um:g} um; pass "
                    "--patch-um for smaller tiles, or check --um-per-px."
                )
            return slide.read_square(width / 2, height / 2, min(side, width, height), image_px)

        return read


class TooSmall(BadInput):
    """A ready-made tile shows less tissue than a tile of the corpus."""


Source = SlideImage | TileGroup


def find_sources(folder: Path, *, kind: Kind | None = None, tile_px: float | None = None) -> list[Source]:
    """Return what a folder holds, sorted by name.

    Args:
        folder: images beside each other are slides; images in subfolders are tiles when all of them are small.
        kind: says which it is where the folder does not.
        tile_px: side of a tile in pixels of the images, to judge which are small.

    Raises:
        BadInput: there is no such folder, no image in it, or its metadata cannot be read.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give the folder that holds the H&E images.")
    beside = [path.name for path in folder.iterdir() if _is_image(path)]
    names = sorted(beside if beside and kind != "tiles" else _below(folder))
    if not names:
        raise BadInput(f"{folder} holds no image; put {', '.join(IMAGE_SUFFIXES)} files of H&E sections there.")
    longest = TILE_PX if tile_px is None else TILE_SIDES * tile_px
    if kind == "tiles" or (kind is None and not beside and _are_small(folder, names, longest)):
        return list(_grouped(folder, names))
    return [SlideImage(name, folder / name) for name in names]


def kind_from_text(text: str | None) -> Kind | None:
    """Read what a person says the images are.

    Raises:
        BadInput: it is neither.
    """
    if text not in (None, "slides", "tiles"):
        raise BadInput(f"--kind is slides or tiles, not {text!r}.")
    return text  # type: ignore[return-value]  # mypy does not narrow by a tuple


def sha256_of(path: Path) -> str:
    """Return the digest of an image file.

    Raises:
        BadInput: there is no such file.
    """
    if not path.is_file():
        raise BadInput(f"There is no image {path}.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if _is_image(path)]


def _are_small(folder: Path, names: Sequence[str], longest: float) -> bool:
    some = names[:: -(-len(names) // LOOKED_AT)]
    sizes = [size for size in (_size(folder / name) for name in some) if size is not None]
    return bool(sizes) and all(max(size) <= longest for size in sizes)


def _size(path: Path) -> tuple[int, int] | None:
    try:
        return Slide(path).size
    except BadInput:
        return None  # named later, with all others that cannot be used


def _grouped(folder: Path, names: Sequence[str]) -> list[TileGroup]:
    """Put tiles of one slide together, whatever subfolders (organs, classes) they lie in."""
    slides = slides_in_metadata(folder)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[slides.get(name) or slides.get(Path(name).name) or _slide_of(name)].append(name)
    return [TileGroup(group, folder, tuple(files)) for group, files in sorted(groups.items())]


def _slide_of(name: str) -> str:
    """Return the slide that a file's name begins with (`S12_1024_2048.png`), or the file's folder when it names none.

    A beginning without a digit (`tile_17.png`) is a word, not a slide.
    """
    path = Path(name)
    beginning = _NUMBERS_AT_END.sub("", path.stem)
    if beginning != path.stem and any(character.isdigit() for character in beginning):
        return beginning
    return path.parent.as_posix()
