"""Which spots train and which are held out; a fraction of one slide, as a site would sequence only some of it.

`random` is the published protocol: training spots anywhere on the slide. Tissue near a held-out spot has then been seen, so
`blocked` trains on one side of a straight line and drops the spots whose patches overlap a training patch.

Choices come from SHA-256 of the seed and the barcode: they are the same on every machine and for any order of the spots.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from c2lst_client.spots.records import Record
from c2lst_client.spots.spotset import Spots
from c2lst_shared.errors import BadArtefact, BadInput

MIN_PART = 10  # spots in either part
MARGIN = 1.02  # a patch may be up to this much larger than its nominal side, plus a pixel of rounding (see Slide.read_square)

Method = Literal["random", "blocked"]
METHODS: tuple[Method, ...] = ("random", "blocked")


class Split(Record):
    """A division of the spots of one slide; barcodes are sorted, so equal divisions are equal records."""

    format: Literal[1] = 1
    method: Method
    fraction: Annotated[float, Field(gt=0, lt=1)]  # of all spots that train
    seed: int
    patch_um: Annotated[float, Field(gt=0)]  # side of the patch that overlaps were judged with
    train: tuple[str, ...]
    test: tuple[str, ...]
    dropped: tuple[str, ...]  # the margin of a blocked split: in neither part
    overlapping: int  # test spots whose patch overlaps a training patch; 0 when blocked

    @model_validator(mode="after")
    def _parts_are_disjoint(self) -> Self:
        if len({*self.train, *self.test, *self.dropped}) < len(self.train) + len(self.test) + len(self.dropped):
            raise ValueError("a barcode is in two parts")
        return self

    def rows(self, barcodes: Sequence[str]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the rows of the training and of the test spots among `barcodes`, each in ascending order.

        Raises:
            BadArtefact: a barcode of the split is not among `barcodes`.
        """
        row_of = {barcode: row for row, barcode in enumerate(barcodes)}
        missing = [barcode for barcode in (*self.train, *self.test) if barcode not in row_of]
        if missing:
            raise BadArtefact(
                f"{len(missing)} spots of the split, such as {missing[0]!r}, are not among these spots; split them anew."
            )
        train = np.array(sorted(row_of[barcode] for barcode in self.train), dtype=np.intp)
        test = np.array(sorted(row_of[barcode] for barcode in self.test), dtype=np.intp)
        return train, test


def split_spots(spots: Spots, patch_um: float, fraction: float = 0.25, method: Method = "random", seed: int = 0) -> Split:
    """Divide spots into training and held-out ones.

    Args:
        spots: of one slide.
        patch_um: side of a patch in micrometres, for judging which patches overlap.
        fraction: of all spots that train; the paper uses 0.05 to 0.5.
        method: `random` or `blocked`.
        seed: another seed gives another division.

    Raises:
        BadInput: the method is unknown, the fraction is not between 0 and 1, or a part would have fewer than `MIN_PART` spots.
    """
    if method not in METHODS:
        raise BadInput(f"There is no split method {method!r}; choose one of {', '.join(METHODS)}.")
    if not 0 < fraction < 1:
        raise BadInput(f"The training fraction {fraction} is not between 0 and 1; the usual range is 0.05 to 0.5.")
    barcodes = np.array(spots.barcodes, dtype=object)
    ranks = _random_ranks(barcodes, seed) if method == "random" else _ranks_along_a_line(barcodes, spots.centres, seed)
    training = ranks < round(fraction * len(barcodes))
    overlaps = ~training & _near(spots.centres, training, patch_um / spots.um_per_px)
    dropped = overlaps & (method == "blocked")
    testing = ~training & ~dropped
    for part, name in ((training, "training"), (testing, "held-out")):
        if part.sum() < MIN_PART:
            raise BadInput(
                f"A {method} split with fraction {fraction:g} of {len(barcodes)} spots leaves {int(part.sum())} {name} spots "
                f"and {MIN_PART} are needed; change the fraction or use a larger section."
            )
    return Split(
        method=method,
        fraction=fraction,
        seed=seed,
        patch_um=patch_um,
        train=tuple(sorted(barcodes[training])),
        test=tuple(sorted(barcodes[testing])),
        dropped=tuple(sorted(barcodes[dropped])),
        overlapping=int((overlaps & testing).sum()),
    )


def _digest(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}:{text}".encode()).digest()


def _random_ranks(barcodes: npt.NDArray[np.object_], seed: int) -> npt.NDArray[np.intp]:
    return _ranks([_digest(seed, barcode) for barcode in barcodes])


def _ranks_along_a_line(barcodes: npt.NDArray[np.object_], centres: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.intp]:
    """Rank spots by how far they lie in a random direction; the line between the parts is at a right angle to it."""
    angle = 2 * math.pi * int.from_bytes(_digest(seed, "direction")[:8]) / 2**64
    along = centres[:, 0] * math.cos(angle) + centres[:, 1] * math.sin(angle)
    return _ranks(list(zip(along.tolist(), barcodes, strict=True)))


def _ranks(keys: Sequence[bytes] | Sequence[tuple[float, str]]) -> npt.NDArray[np.intp]:
    ranks = np.empty(len(keys), dtype=np.intp)
    ranks[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return ranks


def _near(centres: npt.NDArray[np.float64], training: npt.NDArray[np.bool_], side_px: float) -> npt.NDArray[np.bool_]:
    """Mark spots whose square patch overlaps the patch of a training spot."""
    from scipy.spatial import cKDTree

    if not training.any():
        return np.zeros(len(centres), dtype=bool)
    distances, _ = cKDTree(centres[training]).query(centres, p=np.inf)  # the larger of |dx| and |dy|
    near: npt.NDArray[np.bool_] = distances < MARGIN * side_px + 1
    return near
