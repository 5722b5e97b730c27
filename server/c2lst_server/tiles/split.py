"""Which tiles are trained on and which are held out: whole slides where there are enough of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from c2lst_server.tiles.survey_cache import Surveyed
from c2lst_shared.errors import BadInput

VALIDATION_FRACTION = 0.1
MIN_SLIDES_TO_HOLD_OUT = 3  # with fewer slides, the bottom of each is held out instead of a whole one

Range = tuple[int, int]  # tile indices, the end not included


def split_by_slide(surveyed: Sequence[Surveyed], seed: int) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
    """Hold whole slides out for validation or, with one or two slides, the lowest rows of each.

    Raises:
        BadInput: one or two slides give too few tiles to hold some out.
    """
    stops = np.cumsum([len(slide.places) for slide in surveyed]).tolist()
    whole = {index: (stop - len(surveyed[index].places), stop) for index, stop in enumerate(stops)}
    filled = [index for index, (first, stop) in whole.items() if stop > first]
    if len(filled) >= MIN_SLIDES_TO_HOLD_OUT:
        how_many = max(round(VALIDATION_FRACTION * len(filled)), 1)
        held_out = set(np.random.default_rng(seed).permutation(filled)[:how_many].tolist())
        train = tuple(whole[index] for index in filled if index not in held_out)
        return train, tuple(whole[index] for index in filled if index in held_out)
    parts = [_split_rows(surveyed[index], whole[index][0]) for index in filled]
    return tuple(part[0] for part in parts), tuple(part[1] for part in parts)


def indices(ranges: Sequence[Range]) -> npt.NDArray[np.int64]:
    """Return the tile indices in the ranges."""
    return np.concatenate([np.arange(first, stop, dtype=np.int64) for first, stop in ranges])


def _split_rows(slide: Surveyed, first: int) -> tuple[Range, Range]:
    """Return the ranges of training and validation tiles of one slide; tiles that would overlap both are in neither."""
    rows = slide.places[:, 1]
    start = int(np.searchsorted(rows, rows[int(len(rows) * (1 - VALIDATION_FRACTION))]))
    apart = int(np.searchsorted(rows, rows[start] - slide.finding.spacing + 0.5))
    if apart == 0:
        raise BadInput(f"{slide.name} gives only {len(rows)} tiles, too few to hold some out for validation; add images.")
    return (first, first + apart), (first + start, first + len(rows))
