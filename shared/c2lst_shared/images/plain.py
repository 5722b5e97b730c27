"""Images that are decoded whole, by Pillow: JPEG, PNG, and TIFF that is neither tiled nor large."""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from c2lst_shared.errors import BadInput
from c2lst_shared.images.pixels import (
    DAMAGE,
    DESCRIPTION,
    MAX_PIXELS,
    MODES,
    RESOLUTION_UNIT,
    STRIP_ROWS,
    X_RESOLUTION,
    Pixels,
    damaged,
    not_eight_bits,
    ome_scale,
    resolution_scale,
    rgb,
)

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's default refuses anything above 179 megapixels


class PlainImage:
    """An image in one piece; its pixels are decoded at the first read and kept.

    Raises:
        BadInput: the file is no image, is larger than `MAX_PIXELS`, or has not 8 bits per channel.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as image:
            self.sizes = (image.size,)
            self.um_per_px = _scale(image)

    def read(self, level: int, left: int, top: int, width: int, height: int) -> Pixels:
        """Return a part of the picture, as a view of it; there is no level but 0."""
        return self._pixels[top : top + height, left : left + width]

    @cached_property
    def _pixels(self) -> Pixels:
        with self._open() as image:
            width, height = image.size
            pixels = np.empty((height, width, 3), np.uint8)
            try:
                for top in range(0, height, STRIP_ROWS):  # converted whole, a slide would be in memory four times
                    strip = image.crop((0, top, width, min(top + STRIP_ROWS, height)))
                    pixels[top : top + STRIP_ROWS] = np.asarray(rgb(strip))
            except DAMAGE as error:
                raise damaged(self._path, error) from None
        pixels.setflags(write=False)  # views of it are handed out
        return pixels

    def _open(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damage and of size, which are judged below
                image = Image.open(self._path)
        except (UnidentifiedImageError, *DAMAGE):
            raise BadInput(
                f"{self._path} is not an image that can be read; use JPEG, PNG, TIFF or a whole-slide format of a scanner."
            ) from None
        except Image.DecompressionBombError:  # Pillow's own, higher limit
            raise BadInput(f"{self._path} has more than {MAX_PIXELS:,} pixels; save it as a tiled TIFF.") from None
        if image.width * image.height > MAX_PIXELS:
            image.close()
            raise BadInput(
                f"{self._path} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}, and cannot be read by "
                "region; save it as a tiled TIFF."
            )
        if image.mode not in MODES:
            image.close()
            raise not_eight_bits(self._path, f"mode {image.mode}")
        return image


def _scale(image: Image.Image) -> float | None:
    tags = getattr(image, "tag_v2", {})
    scale = ome_scale(str(tags.get(DESCRIPTION, "")))
    if scale is not None or not tags.get(X_RESOLUTION):
        return scale
    return resolution_scale(float(tags[X_RESOLUTION]), int(tags.get(RESOLUTION_UNIT, 2)))
