"""Tiles that show the same thing twice: files that were copied, saved again in another format, or sliced twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared.images.tissue import Pixels

BITS_APART = 3  # of 128: saving a tile again as JPEG turns a few, neighbouring tissue turns dozens
BANDS = 4  # two fingerprints at most 3 bits apart are equal in one of 4 parts


def perceptual_hash(tiles: Pixels) -> npt.NDArray[np.uint64]:
    """Return N x 2: whether each of 8 x 8 fields is darker than the one to its right, and than the one below it."""
    gray = [np.asarray(Image.fromarray(tile).convert("L").resize((9, 9), Image.Resampling.BOX), np.int16) for tile in tiles]
    fields = np.stack(gray)
    across, down = np.diff(fields, axis=2)[:, :8] > 0, np.diff(fields, axis=1)[:, :, :8] > 0
    bits = np.stack([across, down], axis=1).reshape(len(tiles), 2, 64)
    return np.packbits(bits, axis=2).view(np.uint64)[..., 0]


def repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Mark the rows of N x 2 hashes that are within `BITS_APART` of an earlier row that stays.

    Work and memory grow with the number of tiles, not with that of pairs: only rows that agree in a quarter of their bits are
    compared.
    """
    bands = hashes.view(np.uint32).reshape(len(hashes), BANDS)
    gone = np.zeros(len(hashes), np.bool_)
    pairs = np.concatenate([_close_pairs(hashes, bands[:, band]) for band in range(BANDS)])
    for earlier, later in np.unique(pairs, axis=0).tolist():  # in order of `earlier`, which is decided by then
        gone[later] |= not gone[earlier]
    return gone


def _close_pairs(hashes: npt.NDArray[np.uint64], band: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Return M x 2 rows, the earlier first, that agree in this band and are close in all bits.

    In a long run of equal bands (blank tiles), each row is compared with the first and with those just before it only.
    """
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    first = np.searchsorted(ordered, ordered, side="left")
    found = [np.empty((0, 2), np.int64)]
    for back in range(1, 17):
        partner = np.maximum(np.arange(len(order)) - back, first)
        rows = np.flatnonzero(partner < np.arange(len(order)))
        a, b = order[partner[rows]], order[rows]
        apart = np.bitwise_count(hashes[a] ^ hashes[b]).sum(axis=1)
        found.append(np.stack([a, b], axis=1)[apart <= BITS_APART])
    return np.concatenate(found)
