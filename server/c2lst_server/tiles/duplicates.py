"""Tiles that show the same thing twice: files that were copied, saved again in another format, or sliced twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.images.pixels import Pixels

BITS_APART = 3  # of 128: saving a tile again as JPEG turns a few, neighbouring tissue turns dozens
LOOKED_BACK = 16
BANDS = 4  # two fingerprints at most 3 bits apart are equal in one of 4 parts


def perceptual_hash(tiles: Pixels) -> npt.NDArray[np.uint64]:
    """Return N x 2: whether each of 8 x 8 fields is darker than the one to its right, and than the one below it."""
    gray = [np.asarray(Image.fromarray(tile).convert("L").resize((9, 9), Image.Resampling.BOX), np.int16) for tile in tiles]
    fields = np.stack(gray)
    across, down = np.diff(fields, axis=2)[:, :8] > 0, np.diff(fields, axis=1)[:, :, :8] > 0
    bits = np.stack([across, down], axis=1).reshape(len(tiles), 2, 64)
    return np.packbits(bits, axis=2).view(np.uint64)[..., 0]


def repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Mark the rows of N x 2 hashes that are within `BITS_APART` of an earlier row; the first of its kind stays.

    Work and memory grow with the number of tiles, not with that of pairs: only rows that agree in a quarter of their bits are
    compared.
    """
    bands = hashes.view(np.uint32).reshape(len(hashes), BANDS)
    gone = np.zeros(len(hashes), np.bool_)
    for band in range(BANDS):
        gone[_close_to_earlier(hashes, bands[:, band])] = True
    return gone


def _close_to_earlier(hashes: npt.NDArray[np.uint64], band: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Return the rows that agree in this band with an earlier one and are close to it in all bits.

    In a long run of equal bands (blank tiles), each row is compared with the `LOOKED_BACK` before it only.
    """
    order = np.argsort(band, kind="stable")
    found = []
    for back in range(1, min(LOOKED_BACK, len(order) - 1) + 1):
        earlier, later = order[:-back], order[back:]
        same = band[earlier] == band[later]
        earlier, later = earlier[same], later[same]
        found.append(later[np.bitwise_count(hashes[earlier] ^ hashes[later]).sum(axis=1) <= BITS_APART])
    return np.concatenate(found) if found else np.empty(0, np.int64)
