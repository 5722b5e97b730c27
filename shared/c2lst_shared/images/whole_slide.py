"""Whole-slide formats of scanners (.svs, .ndpi, .mrxs, .scn, .vms, .vmu, .bif ...), read by openslide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import Pixels, damaged, rgb
from c2lst_shared.images.regions import downsample

if TYPE_CHECKING:
    import openslide

SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif")
INDEX_IS_A_JPEG = ".mrxs"  # a picture of the slide, with the slide itself in a folder of the same name
LISTS_FILES = (".vms", ".vmu")  # text, with lines such as ImageFile=NAME.jpg
MAX_LIST_BYTES = 1 << 20
GENERIC = "generic-tiff"  # openslide's name for a TIFF of no scanner; ours reads more of them
INSTALL = "pip install 'c2lst[slides]'"


class WholeSlide:
    """A slide of a scanner, in the levels that the scanner stored.

    Raises:
        BadInput: openslide is missing, or cannot open the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        library = _openslide(path)
        try:
            self._slide: openslide.OpenSlide = library.OpenSlide(path)
        except (library.OpenSlideError, OSError) as error:
            raise damaged(path, error) from None
        self.sizes = tuple(self._slide.level_dimensions)
        self.um_per_px = _number(self._slide.properties.get(library.PROPERTY_NAME_MPP_X))

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of a level, height x width x 3; where the scanner stored nothing it is white."""
        factor = downsample(self.sizes[0], self.sizes[level])
        corner = (round(left * factor), round(top * factor))  # openslide counts from the corner in pixels of level 0
        try:
            region = self._slide.read_region(corner, level, (int(width), int(height)))
        except (_openslide(self._path).OpenSlideError, OSError) as error:
            raise damaged(self._path, error) from None
        return np.asarray(rgb(region))


def recognised(path: Path) -> bool:
    """Say whether openslide knows the file as one of a scanner.

    Raises:
        BadInput: openslide is missing.
    """
    return _openslide(path).OpenSlide.detect_format(path) not in (None, GENERIC)


def companions(path: Path) -> list[Path]:
    """Return the other files of a slide whose file is only an index: .mrxs has a folder, .vms and .vmu name their files."""
    suffix = path.suffix.lower()
    if suffix == INDEX_IS_A_JPEG:
        return sorted(file for file in path.with_suffix("").rglob("*") if file.is_file())
    if suffix not in LISTS_FILES or path.stat().st_size > MAX_LIST_BYTES:
        return []
    named = {line.partition("=")[2].strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    return sorted(file for file in path.parent.iterdir() if file.name in named and file != path)


def _openslide(path: Path):  # type: ignore[no-untyped-def]  # a module
    try:
        import openslide
    except ImportError:
        raise BadInput(f"{path} is in a whole-slide format and openslide is not installed: {INSTALL}") from None
    return openslide


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
