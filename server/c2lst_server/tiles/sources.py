"""Where tiles come from: slides, which are cut, and ready-made tiles, which are grouped by the slide that they show.

A source is what has one stain: a slide, or the tiles of one slide. Each can say its digest and its scale and read tiles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from c2lst_server.tiles.metadata import slide_of, slides_in_metadata
from c2lst_server.tiles.ready_made import Reader, TileFiles, TileGroup
from c2lst_server.tiles.tar_tiles import groups_in_shards
from c2lst_shared.errors import BadInput
from c2lst_shared.images.digest import image_digest
from c2lst_shared.images.slide import IMAGE_SUFFIXES, Slide
from c2lst_shared.images.whole_slide import companions

Kind = Literal["slides", "tiles"]

SHARD = ".tar"
TILE_PX = 1024  # an image up to this side may be a tile, where the scale does not say
TILE_SIDES = 4  # an image up to this many tiles' side may be a tile
LOOKED_AT = 64  # images whose size is looked at to tell slides from tiles


@dataclass(frozen=True)
class SlideImage:
    """A slide that is cut on the fly; its places are the centres of tiles, in pixels."""

    name: str
    path: Path

    def sha256(self) -> str:
        """Digest of the file, and of those that belong to it."""
        return image_digest(self.path)

    def reader(self, um_per_px: float, patch_um: float, image_px: int, slide: Slide | None = None) -> Reader:
        """Return a function from one place (x, y) to its tile; `slide` is the image where it is open already."""
        opened, side = slide or Slide(self.path), patch_um / um_per_px
        return lambda place: opened.read_square(float(place[0]), float(place[1]), side, image_px)


Source = SlideImage | TileGroup


def find_sources(folder: Path, *, kind: Kind | None = None, tile_px: float | None = None) -> list[Source]:
    """Return what a folder holds, sorted by name.

    Args:
        folder: images beside each other are slides; images in subfolders are tiles when all of them are small; tar shards
            hold tiles.
        kind: says which it is where the folder does not.
        tile_px: side of a tile in pixels of the images, to judge which are small.

    Raises:
        BadInput: there is no such folder, no image in it, images as well as shards, or its metadata cannot be read.
    """
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}; give the folder that holds the H&E images.")
    beside = _images_beside(folder)
    shards = sorted(path for path in folder.rglob(f"*{SHARD}") if _is_visible(path)) if kind != "slides" else []
    names = sorted(beside if beside and kind != "tiles" else _below(folder))
    if names and shards:
        raise BadInput(f"{folder} holds images ({names[0]}) and tar shards ({shards[0].name}); keep them in folders apart.")
    if shards:
        return list(groups_in_shards(shards))
    if not names:
        raise BadInput(
            f"{folder} holds no image; put {', '.join(IMAGE_SUFFIXES)} files of H&E sections there, or {SHARD} shards of tiles."
        )
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


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and _is_visible(path)


def _images_beside(folder: Path) -> list[str]:
    """Name the images at the top of a folder, without those that only belong to another (.vms names its JPEGs)."""
    paths = [path for path in folder.iterdir() if _is_image(path)]
    owned = {other for path in paths for other in companions(path)}
    return [path.name for path in paths if path not in owned]


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
        path = Path(name)
        slide = slides.get(name) or slides.get(path.name) or slide_of(name) or path.parent.as_posix()
        groups[slide].append(name)
    return [TileGroup(group, TileFiles(folder, tuple(files))) for group, files in sorted(groups.items())]
