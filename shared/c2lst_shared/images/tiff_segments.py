"""The tiles or strips of a TIFF, decoded one by one by Pillow's libtiff: each is handed over as a TIFF of its own."""

from __future__ import annotations

import io
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from c2lst_shared.images.pixels import DAMAGE, MODES, Pixels, damaged, not_eight_bits, rgb

CACHE_BYTES = 96 << 20  # decoded segments kept: neighbouring patches share them
WIDTH, LENGTH, BITS, SAMPLES = 256, 257, 258, 277  # TIFF tags
OFFSETS, ROWS_PER_STRIP, BYTE_COUNTS = 273, 278, 279
PHOTOMETRIC, JPEG_TABLES, GRAY = 262, 347, 1
# Compression, photometric interpretation, fill order, predictor, colour map, extra samples, JPEG tables, and three of YCbCr:
CODING = (259, PHOTOMETRIC, 266, 317, 320, 338, JPEG_TABLES, 530, 531, 532)


@dataclass(frozen=True)
class Level:
    """One resolution of a picture, cut into segments: rows of tiles, or strips as wide as the picture."""

    size: tuple[int, int]  # width, height
    segment: tuple[int, int]  # width, height
    tiled: bool  # the last tile of a row or column is padded to its full size, the last strip is not
    offsets: npt.NDArray[np.int64]  # planes x segments: where each begins in the file
    counts: npt.NDArray[np.int64]  # planes x segments: bytes; 0 where nothing was stored
    samples: int  # channels in one plane
    coding: Mapping[int, Any]  # tags of `CODING`

    @property
    def columns(self) -> int:
        """Segments side by side."""
        return -(-self.size[0] // self.segment[0])

    def segment_size(self, index: int) -> tuple[int, int]:
        """Return the width and height that a segment is stored with."""
        width, height = self.segment
        return width, height if self.tiled else min(height, self.size[1] - index // self.columns * height)


class Segments:
    """Reads parts of the levels of one file; what was decoded last is kept, up to `CACHE_BYTES`."""

    def __init__(self, path: Path, levels: tuple[Level, ...]) -> None:
        self._path = path
        self._levels = levels
        self._kept: OrderedDict[tuple[int, int], Pixels] = OrderedDict()
        self._kept_bytes = 0

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of a level, height x width x 3.

        Raises:
            BadInput: a segment of it cannot be decoded.
        """
        out = np.empty((height, width, 3), np.uint8)
        across, down = self._levels[level].segment
        for row in range(top // down, (top + height - 1) // down + 1):
            for column in range(left // across, (left + width - 1) // across + 1):
                segment = self._segment(level, row * self._levels[level].columns + column)
                x, y = column * across - left, row * down - top  # of the segment's corner within `out`
                part = segment[max(-y, 0) : height - y, max(-x, 0) : width - x]
                out[max(y, 0) : max(y, 0) + part.shape[0], max(x, 0) : max(x, 0) + part.shape[1]] = part
        return out

    def _segment(self, level: int, index: int) -> Pixels:
        if (level, index) in self._kept:
            self._kept.move_to_end((level, index))
            return self._kept[level, index]
        pixels = self._decoded(self._levels[level], index)
        self._kept[level, index] = pixels
        self._kept_bytes += pixels.nbytes
        while self._kept_bytes > CACHE_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return pixels

    def _decoded(self, level: Level, index: int) -> Pixels:
        width, height = level.segment_size(index)
        if not level.counts[:, index].all():  # a sparse file leaves out what is empty: glass
            return np.full((height, width, 3), 255, np.uint8)
        planes = [self._picture(level, plane, index) for plane in range(len(level.offsets))]
        if len(planes) == 1:
            return np.asarray(rgb(planes[0]))
        return np.stack([np.asarray(plane.convert("L")) for plane in planes], axis=-1)

    def _picture(self, level: Level, plane: int, index: int) -> Image.Image:
        """Return one segment of one plane as Pillow decodes it.

        Raises:
            BadInput: it cannot.
        """
        offset, count = int(level.offsets[plane, index]), int(level.counts[plane, index])
        try:
            with self._path.open("rb") as file:  # opened each time: a slide holds no file open, and may cross a fork
                file.seek(offset)
                coded = file.read(count)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of strange tags: what matters is whether it can be decoded
                image = Image.open(io.BytesIO(_as_file(level, level.segment_size(index), coded)), formats=("TIFF",))
            if image.mode not in MODES:
                raise not_eight_bits(self._path, f"mode {image.mode}")
            image.load()
        except DAMAGE as error:
            raise damaged(self._path, error) from None
        return image


def _as_file(level: Level, size: tuple[int, int], coded: bytes) -> bytes:
    """Wrap a coded segment into a TIFF of one strip."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in level.coding.items():
        if tag == JPEG_TABLES:
            tags.tagtype[tag] = 7  # bytes that are no text
        tags[tag] = value
    tags[WIDTH], tags[LENGTH] = size
    tags[ROWS_PER_STRIP] = size[1]
    tags[SAMPLES] = level.samples
    tags[BITS] = (8,) * level.samples
    tags[OFFSETS] = 0  # Pillow counts it from the end of the tags
    tags[BYTE_COUNTS] = len(coded)
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + coded
