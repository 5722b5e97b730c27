"""Who counts as a member and who as a non-member: tissue that a training patch shows, even in part, was seen.

A patch beside a training patch is no fair non-member either, because tissue goes on over its edge. So between any two of them
lies at least one whole spot's pitch of tissue that counts for neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.spots.split import MARGIN

Rows = npt.NDArray[np.intp]


def non_members(centres: npt.NDArray[np.floating], members: Rows, held_out: Rows, patch_px: float) -> Rows:
    """Return the held-out rows whose patch neither overlaps nor lies next to a member's.

    Args:
        centres: S x 2, x and y of all spots in pixels of the slide.
        members: rows of the training spots.
        held_out: rows of the others.
        patch_px: side of a patch in pixels of the slide.
    """
    from scipy.spatial import cKDTree

    pitch = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    distance, _ = cKDTree(centres[members]).query(centres[held_out], p=np.inf)  # the larger of |dx| and |dy|
    return held_out[distance >= MARGIN * patch_px + 1 + pitch]


def some(rows: Rows, most: int, seed: int = 0) -> Rows:
    """Return at most `most` of the rows, chosen at random and in ascending order: what is costly is measured on these."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
