"""TIFF files of every layout that scanners and tools write, from an array of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

Pixels = npt.NDArray[np.uint8]
COMPRESSION, PHOTOMETRIC, SUBSAMPLING = 259, 262, 530  # TIFF tags
JPEG, YCBCR = 7, 6


def copies(pixels: Pixels, factors: tuple[int, ...]) -> list[Pixels]:
    """The pixels, shrunk by each factor."""
    return [np.asarray(Image.fromarray(pixels).reduce(factor)) for factor in factors]


def write_pyramid(
    path: Path, pixels: Pixels, *, factors: tuple[int, ...] = (1, 2, 4), nested: bool = False, tile: int = 256, **options: Any
) -> Path:
    """Tiled, without loss; smaller copies follow as pages of their own, or are `nested` as SubIFDs of the first."""
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as file:
        for index, level in enumerate(copies(pixels, factors)):
            first = {"subifds": len(factors) - 1} if nested and index == 0 else {}
            file.write(
                level, tile=(tile, tile), photometric="rgb", compression="zlib", metadata=None, subfiletype=int(index > 0),
                **first, **options,
            )  # fmt: skip
    return path


def write_ome(path: Path, pixels: Pixels, um_per_px: float) -> Path:
    """OME-TIFF as microscopes write it: three gray channels, each a page, with a smaller copy nested in each."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for index, level in enumerate(copies(pixels, (1, 2))):
            about = {"metadata": {"axes": "CYX", "PhysicalSizeX": um_per_px, "PhysicalSizeXUnit": "µm"}, "subifds": 1}
            channels = np.ascontiguousarray(np.moveaxis(level, -1, 0))
            file.write(
                channels, tile=(128, 128), photometric="minisblack", compression="zlib",
                **(about if index == 0 else {"subfiletype": 1}),
            )  # fmt: skip
    return path


def jpeg(pixels: Pixels) -> bytes:
    """Pixels as a JPEG file without chroma subsampling."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85, subsampling=0)
    return file.getvalue()


def write_jpeg_tiles(
    path: Path, pattern: Pixels, side: int, factors: tuple[int, ...] = (1,), description: str | None = None
) -> Path:
    """A square BigTIFF pyramid of JPEG tiles; each level repeats the square `pattern`, shrunk, so that all tiles are alike."""
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for index, (factor, level) in enumerate(zip(factors, copies(pattern, factors), strict=True)):
            across = side // factor
            tile = len(pattern) if factor == 1 else 16 * (-(-len(level) // 16))
            # A level of a repeated pattern is whole tiles of it again: shrunk tiles are laid side by side to fill one.
            content = jpeg(np.tile(level, (tile // len(level), tile // len(level), 1)))
            file.write(
                _again(content, (-(-across // tile)) ** 2), shape=(across, across, 3), dtype=np.uint8, tile=(tile, tile),
                photometric="rgb", compression="zlib", metadata=None, subfiletype=int(index > 0),
                description=description if index == 0 else None, extratags=[(SUBSAMPLING, "H", 2, (1, 1), True)],
            )  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as written:  # tifffile alone does not encode JPEG: the tiles above already are
        for page in written.pages:
            page.tags[COMPRESSION].overwrite(JPEG)
            page.tags[PHOTOMETRIC].overwrite(YCBCR)
    return path


def _again(content: bytes, times: int) -> Iterator[bytes]:
    for _ in range(times):
        yield content
