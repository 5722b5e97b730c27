"""A slide image, read by region: the one door through which pixels enter, on either side."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from c2lst_shared.errors import BadInput

MAX_PIXELS = 250_000_000  # a plain image is decoded whole: 250 megapixels are 0.75 GB
STRIP_ROWS = 1024  # converted to RGB at a time
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Slide:
    """An image file; pixels are decoded at the first read and kept while the object lives."""

    path: Path

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels.

        Raises:
            BadInput: the file is missing, is no image, or is larger than `MAX_PIXELS`.
        """
        with self._open() as image:
            return image.size

    @cached_property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The whole image, height x width x 3 (RGB)."""
        with self._open() as image:
            width, height = image.size
            pixels = np.empty((height, width, 3), np.uint8)
            try:
                for top in range(0, height, STRIP_ROWS):  # converted whole, a slide would be in memory four times
                    strip = image.crop((0, top, width, min(top + STRIP_ROWS, height)))
                    pixels[top : top + STRIP_ROWS] = np.asarray(strip.convert("RGB"))
                return pixels
            except OSError as error:
                raise BadInput(f"{self.path} cannot be decoded ({error}); it may be cut short: copy it again.") from None

    def read_square(self, x: float, y: float, side: float, out_px: int) -> npt.NDArray[np.uint8]:
        """Return the square of `side` pixels centred on (`x`, `y`), resized to `out_px`; edges repeat outside the slide.

        A side within 2 % of `out_px` is cropped at `out_px`, without resampling: resizing by so little only blurs.
        """
        crop = out_px if abs(side - out_px) <= 0.02 * out_px else max(round(side), 1)
        left, top = round(x - crop / 2), round(y - crop / 2)
        width, height = self.size
        columns = np.clip(np.arange(left, left + crop), 0, width - 1)
        rows = np.clip(np.arange(top, top + crop), 0, height - 1)
        square = self.pixels[np.ix_(rows, columns)]
        if crop == out_px:
            return square
        # Lanczos with Pillow's support scaling is an antialiasing filter when shrinking.
        return np.asarray(Image.fromarray(square).resize((out_px, out_px), Image.Resampling.LANCZOS))

    def _open(self) -> Image.Image:
        if not self.path.is_file():
            raise BadInput(f"There is no image {self.path}.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(self.path)
        except (UnidentifiedImageError, OSError):
            raise BadInput(f"{self.path} is not an image that can be read; use JPEG, PNG or TIFF.") from None
        except Image.DecompressionBombError:
            raise BadInput(f"{self.path} has more than {MAX_PIXELS:,} pixels; downsample it first.") from None
        if image.width * image.height > MAX_PIXELS:
            image.close()
            raise BadInput(
                f"{self.path} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; downsample it first."
            )
        return image
