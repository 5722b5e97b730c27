"""A slide image, read by region: the one door through which pixels enter, on either side."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from c2lst_shared.errors import BadInput

MAX_PIXELS = 250_000_000  # a plain image is decoded whole: 250 megapixels are 0.75 GB
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's default refuses anything above 179 megapixels
STRIP_ROWS = 1024  # converted to RGB at a time
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
# Pillow's decoders raise these on damaged files; SyntaxError is a broken PNG chunk.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")  # Pillow's, 8 bits per channel
PLAUSIBLE_UM_PER_PX = (0.05, 20.0)  # outside are the 72 dpi and the like that editors write without meaning
_DESCRIPTION, _X_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 296  # TIFF tags
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre
# Micrometres are OME's default unit; the sign for micro comes in many encodings, none of them a letter of ASCII but u.
_OME_SCALE = re.compile(r'PhysicalSizeX="([0-9.eE+-]+)"(?![^>]*PhysicalSizeXUnit="(?!(?:u|[^a-zA-Z"]+)m"))')


class Picture(Protocol):
    """What is asked of a slide's image, whatever holds its pixels: a file, stored patches, a Zarr array."""

    @property
    def path(self) -> Path:
        """What to call it in sentences."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel, None when not known."""

    def overview(self, longest: int) -> tuple[npt.NDArray[np.uint8], float]:
        """Return the whole picture, its longer side about `longest` pixels at most, and its pixels per pixel of that."""

    def read_square(self, x: float, y: float, side: float, out_px: int) -> npt.NDArray[np.uint8]:
        """Return the square of `side` pixels centred on (`x`, `y`), as `out_px` x `out_px` x 3; edges repeat outside."""


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
                    pixels[top : top + STRIP_ROWS] = np.asarray(_rgb(strip))
            except DAMAGE as error:
                raise BadInput(f"{self.path} cannot be decoded ({error}); it may be cut short: copy it again.") from None
        return pixels

    @cached_property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel as the file's TIFF or OME-TIFF tags give them; None when they are missing or implausible."""
        with self._open() as image:
            scale = _tiff_scale(image)
        return scale if scale is not None and PLAUSIBLE_UM_PER_PX[0] <= scale <= PLAUSIBLE_UM_PER_PX[1] else None

    def overview(self, longest: int) -> tuple[npt.NDArray[np.uint8], float]:
        """Return the whole image, its longer side about `longest` pixels, and the whole number by which it was shrunk."""
        from c2lst_shared.images.tissue import reduced

        factor = max(max(self.size) // longest, 1)
        return reduced(self.pixels, factor), float(factor)

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
        except (UnidentifiedImageError, *DAMAGE):
            raise BadInput(f"{self.path} is not an image that can be read; use JPEG, PNG or TIFF.") from None
        except Image.DecompressionBombError:  # Pillow's own, higher limit
            raise BadInput(f"{self.path} has more than {MAX_PIXELS:,} pixels; downsample it first.") from None
        if image.width * image.height > MAX_PIXELS:
            image.close()
            raise BadInput(
                f"{self.path} has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; downsample it first."
            )
        if image.mode not in MODES:
            image.close()
            raise BadInput(f"{self.path} does not have 8 bits per channel (mode {image.mode}); convert it to 8-bit RGB.")
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Drop transparency, onto white: an empty part of a section is glass, not black."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _tiff_scale(image: Image.Image) -> float | None:
    tags = getattr(image, "tag_v2", {})
    ome = _OME_SCALE.search(str(tags.get(_DESCRIPTION, "")))
    if ome is not None:
        return float(ome.group(1))
    per_unit, unit_um = tags.get(_X_RESOLUTION), _UNIT_UM.get(tags.get(_RESOLUTION_UNIT, 2))
    return unit_um / float(per_unit) if per_unit and unit_um else None
