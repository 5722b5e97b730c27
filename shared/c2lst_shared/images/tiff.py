"""TIFF that is read by region: tiled, pyramidal, BigTIFF, OME-TIFF, channels in separate planes, or strips of a large image.

tifffile says where the tiles and strips lie; `tiff_segments` decodes them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import (
    DESCRIPTION,
    MAX_PIXELS,
    RESOLUTION_UNIT,
    X_RESOLUTION,
    Pixels,
    damaged,
    not_eight_bits,
    ome_scale,
    resolution_scale,
)
from c2lst_shared.images.tiff_segments import CODING, GRAY, PHOTOMETRIC, Level, Segments

if TYPE_CHECKING:
    import tifffile

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are BigTIFF
MAX_SIDE = 1_000_000  # px; the largest scanners' slides have about 250,000
MAX_SEGMENT = 1 << 26  # pixels of one tile or strip, which is decoded at once
STRIP_PIXELS = 1 << 20  # an uncompressed strip is cut into such as hold about so many pixels
UNCOMPRESSED = 1
COMPRESSIONS = (UNCOMPRESSED, 5, 7, 8, 32773, 32946, 34925, 50000, 50001)  # LZW, JPEG, deflate, PackBits, LZMA, Zstd, WebP
REDUCED = 1  # the bit of NewSubfileType that marks a smaller copy of another page
SCANNERS = ("svs", "ndpi", "scn", "bif", "philips", "vista")  # formats of scanners, as tifffile calls them
CUT_SHORT = ("invalid value offset", "corrupted tag list")  # tifffile's words when tags lie beyond the end
MANY_PAGES = "IQ"  # tifffile's axes of pages that are not told apart: the first is the slide


class RegionTiff:
    """A TIFF read by region; only the places of its tiles are kept in memory.

    Raises:
        BadInput: it is damaged, or its pixels are not 8-bit colours in a compression that is read.
    """

    def __init__(self, path: Path) -> None:
        with _opened(path) as file:
            series = file.series[0]
            levels = [_level(path, pages, file.filehandle.size) for pages in _pages_of_levels(file, series)]
            self.um_per_px = _scale(series.keyframe)
        self.sizes = tuple(level.size for level in levels)
        self._segments = Segments(path, tuple(levels))

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of a level, height x width x 3."""
        return self._segments.read(level, left, top, width, height)


def of_scanner(path: Path) -> bool:
    """Say whether a TIFF looks like one of a scanner's own format, which openslide reads; not so if it is damaged."""
    try:
        with _opened(path) as file:
            return any(getattr(file, f"is_{name}") for name in SCANNERS) or _is_trestle(file)
    except BadInput:
        return False


def needs_regions(path: Path) -> bool:
    """Say whether a TIFF should be read by region: all but small ones in one piece.

    Raises:
        BadInput: it is damaged, or holds several pictures.
    """
    with _opened(path) as file:
        series = file.series[0]
        page = series.keyframe
        in_one_piece = page.axes in ("YX", "YXS") and set(series.axes) <= set("YXS" + MANY_PAGES)
        levels = len(list(_pages_of_levels(file, series)))
        return not in_one_piece or page.is_tiled or levels > 1 or page.imagewidth * page.imagelength > MAX_PIXELS


class _Complaints(logging.Filter):
    """Takes what tifffile logs of a file, so that nothing is printed: our own sentence says what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.heard.append(record.getMessage())
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open the file, and translate whatever tifffile raises on a damaged one, or passes over."""
    import tifffile

    complaints, logger = _Complaints(), logging.getLogger("tifffile")
    logger.addFilter(complaints)
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except BadInput:
        raise
    except Exception as error:  # a damaged file makes it raise anything at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise damaged(path, reason) from None
    finally:
        logger.removeFilter(complaints)
    if any(sign in complaint for complaint in complaints.heard for sign in CUT_SHORT):
        raise damaged(path, "it ends before its last tags")


def _is_trestle(file: tifffile.TiffFile) -> bool:
    return file.pages.first.software.startswith("MedScan")


def _pages_of_levels(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Iterator[list[Any]]:
    """Yield the pages of each level, the largest first: one, or one per channel."""
    axes = "".join(axis for axis in series.axes if axis not in MANY_PAGES)
    for level in series.levels:
        pages = list(level.pages[:1] if axes == level.keyframe.axes else level.pages)
        if not set(axes) <= set("CSYX"):
            raise BadInput(f"{file.filename} holds several pictures (axes {axes}); save one of them as an image of its own.")
        yield pages
    if len(series.levels) > 1:
        return
    width, height = series.keyframe.imagewidth, series.keyframe.imagelength
    for page in file.pages[1:]:
        copy = page.keyframe
        if copy is not None and copy.subfiletype & REDUCED and _is_copy(width, height, copy):
            yield [page]


def _is_copy(width: int, height: int, page: tifffile.TiffPage) -> bool:
    """Tell a smaller copy from a label or a photograph of the slide, which have other proportions."""
    smaller = page.imagewidth < width and page.imagelength < height
    return smaller and abs(page.imagewidth * height - page.imagelength * width) <= max(width, height)


def _level(path: Path, pages: list[Any], file_bytes: int) -> Level:
    """Return where the segments of a level lie, having checked that they can be there."""
    page = pages[0].keyframe
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    if page.bitspersample != 8 or page.dtype != np.uint8:
        raise not_eight_bits(path, f"{page.dtype} of {page.bitspersample} bits")
    if page.compression not in COMPRESSIONS:
        raise BadInput(f"{path} is compressed as {page.compression.name}; save it with JPEG, LZW or deflate compression.")
    if max(width, height) > MAX_SIDE:
        raise BadInput(f"{path} claims to have {width} x {height} pixels, more than {MAX_SIDE:,} on a side; save it again.")
    separate = page.planarconfig == 2 and samples > 1
    planes = samples if separate else len(pages)
    if planes > 1 and (planes not in (3, 4) or (separate and len(pages) > 1) or None in pages):
        raise BadInput(f"{path} has {planes} channels and not red, green and blue; save the H&E image as RGB.")
    segment = (page.tilewidth, page.tilelength) if page.is_tiled else (width, min(page.rowsperstrip or height, height))
    parts = [_places(one) for one in pages]
    offsets, counts = (np.concatenate([part[index] for part in parts]).reshape(planes, -1)[:3] for index in (0, 1))
    level = Level(
        (width, height), segment, bool(page.is_tiled), offsets, counts, 1 if planes > 1 else samples, _coding(page, planes)
    )
    _refuse_missing(path, level, file_bytes)
    if page.compression == UNCOMPRESSED and not page.is_tiled:
        level = _finer(level)
    if level.segment[0] * level.segment[1] > MAX_SEGMENT:
        raise BadInput(
            f"{path} stores {level.segment[0]} x {level.segment[1]} pixels in one compressed piece; save it as a tiled TIFF."
        )
    return level


def _places(page: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:  # a TiffPage or the TiffFrame of one
    return np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)


def _refuse_missing(path: Path, level: Level, file_bytes: int) -> None:
    expected = level.columns * -(-level.size[1] // level.segment[1])
    if level.offsets.shape[1] != expected or level.counts.shape != level.offsets.shape:
        raise damaged(path, f"{level.offsets.shape[1]} of {expected} tiles or strips are listed")
    if (level.offsets + level.counts).max() > file_bytes or min(level.offsets.min(), level.counts.min()) < 0:
        raise damaged(path, "it ends before its last pixels")


def _coding(page: Any, planes: int) -> dict[int, Any]:
    coding = {tag: page.tags[tag].value for tag in CODING if tag in page.tags}
    if planes > 1:
        coding[PHOTOMETRIC] = GRAY
    return {tag: int(value) if isinstance(value, int) else value for tag, value in coding.items()}  # not enumerations


def _finer(level: Level) -> Level:
    """Cut uncompressed strips into thinner ones: there is no need to read hundreds of rows for a few."""
    (width, rows), height = level.segment, level.size[1]
    least = max(STRIP_PIXELS // width, 1)
    pieces = (
        -(-rows // least)
        if rows == height
        else next(count for count in range(-(-rows // least), rows + 1) if rows % count == 0)
    )
    if pieces <= 1:
        return level
    thin = -(-rows // pieces)
    row_bytes = width * level.samples
    firsts = np.arange(0, height, thin)  # rows
    offsets = level.offsets[:, firsts // rows] + (firsts % rows) * row_bytes
    counts = np.broadcast_to(np.minimum(thin, height - firsts) * row_bytes, offsets.shape)
    return Level(level.size, (width, thin), False, offsets, counts, level.samples, level.coding)


def _scale(page: tifffile.TiffPage) -> float | None:
    tags = page.tags
    scale = ome_scale(str(tags[DESCRIPTION].value)) if DESCRIPTION in tags else None
    if scale is not None or X_RESOLUTION not in tags:
        return scale
    pixels, units = tags[X_RESOLUTION].value
    unit = int(tags[RESOLUTION_UNIT].value) if RESOLUTION_UNIT in tags else 2
    return resolution_scale(pixels / units, unit) if units else None
