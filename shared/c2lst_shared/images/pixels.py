"""What all kinds of image have in common: 8-bit RGB, shrinking by block means, and the scale that a file claims."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.errors import BadInput

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 250_000_000  # an image that cannot be read by region is decoded whole: 250 megapixels are 0.75 GB
STRIP_ROWS = 1024  # converted or shrunk at a time
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")  # Pillow's, 8 bits per channel
# Decoders raise these on damaged files; SyntaxError is a broken PNG chunk.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)
PLAUSIBLE_UM_PER_PX = (0.05, 20.0)  # outside are the 72 dpi and the like that editors write without meaning
DESCRIPTION, X_RESOLUTION, RESOLUTION_UNIT = 270, 282, 296  # TIFF tags
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}  # inch, centimetre
# Micrometres are OME's default unit; the sign for micro comes in many encodings, none of them a letter of ASCII but u.
_OME_SCALE = re.compile(r'PhysicalSizeX="([0-9.eE+-]+)"(?![^>]*PhysicalSizeXUnit="(?!(?:u|[^a-zA-Z"]+)m"))')


def rgb(image: Image.Image) -> Image.Image:
    """Drop transparency, onto white: an empty part of a section is glass, not black."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def reduced(pixels: Pixels, factor: int) -> Pixels:
    """Return `pixels` shrunk by the whole number `factor`, each pixel the mean of its block."""
    if factor <= 1:
        return pixels
    rows = rows_at_once(factor)  # Pillow copies what it shrinks: not the whole slide at a time
    strips = (Image.fromarray(pixels[top : top + rows]).reduce(factor) for top in range(0, len(pixels), rows))
    return np.concatenate([np.asarray(strip) for strip in strips])


def rows_at_once(factor: int) -> int:
    """Return how many rows are shrunk by `factor` at a time: about `STRIP_ROWS`, whole blocks."""
    return factor * max(STRIP_ROWS // factor, 1)


def ome_scale(description: str) -> float | None:
    """Return the micrometres per pixel of an OME-XML description; None when it does not say."""
    found = _OME_SCALE.search(description)
    return _number(found.group(1)) if found else None


def resolution_scale(per_unit: float, unit: int) -> float | None:
    """Return the micrometres per pixel of a TIFF's resolution tags: pixels per unit, and the unit's number."""
    return _UNIT_UM[unit] / per_unit if per_unit > 0 and unit in _UNIT_UM else None


def plausible(um_per_px: float | None) -> float | None:
    """Return a scale that a slide can have, and None in place of any other."""
    low, high = PLAUSIBLE_UM_PER_PX
    return um_per_px if um_per_px is not None and low <= um_per_px <= high else None


def damaged(path: Path, reason: object) -> BadInput:
    """Return the error of an image that begins well and cannot be decoded."""
    return BadInput(f"{path} cannot be decoded ({reason}); it may be cut short: copy it again.")


def not_eight_bits(path: Path, found: str) -> BadInput:
    """Return the error of an image whose channels are not of 8 bits."""
    return BadInput(f"{path} does not have 8 bits per channel ({found}); convert it to 8-bit RGB.")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
