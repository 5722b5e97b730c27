"""Everything that a report is made from: plain records and arrays, no files.

S = spots, H = held-out spots with generated patches, T = held-out spots of the co-training result, G = genes, P = patch side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import ConditioningResult, CotrainResult
from c2lst_client.report.genes import primary_arms
from c2lst_client.spots.split import Split
from c2lst_shared.errors import BadInput
from c2lst_shared.journal import Entry

TRUTH = "truth"  # the measured expression among the predictions


@dataclass(frozen=True)
class SpotTable:
    """All spots of the site, in one order for all fields."""

    barcodes: Sequence[str]  # S
    genes: Sequence[str]  # G, in panel order
    expression: npt.NDArray[np.floating]  # S x G, z-scores
    centres: npt.NDArray[np.floating]  # S x 2: x, y in pixels of the slide
    um_per_px: float  # of the slide


@dataclass(frozen=True)
class PatchPairs:
    """Real patches of held-out spots, and patches generated from the same spots' expression."""

    barcodes: Sequence[str]  # H
    real: npt.NDArray[np.uint8]  # H x P x P x 3, in the release's colours
    synthetic: npt.NDArray[np.uint8]  # H x P x P x 3


@dataclass(frozen=True)
class SlideView:
    """The whole slide, small."""

    pixels: npt.NDArray[np.uint8]  # height x width x 3
    slide_px_per_px: float  # pixels of the slide per pixel of this view


@dataclass(frozen=True)
class ReportInputs:
    """One report. What has not been run yet is None or empty, and the report names the command that makes it."""

    site: str
    release: str  # for example `mob/3`
    preset: str
    created: datetime  # of this report
    spots: SpotTable
    split: Split
    slide: SlideView | None = None
    pairs: PatchPairs | None = None
    conditioning: ConditioningResult | None = None
    cotrain: CotrainResult | None = None
    predictions: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)  # TRUTH and Arm.label -> T x G
    adaptation_losses: Sequence[float] = ()  # one per step
    pretraining: Mapping[str, float] = field(default_factory=dict)  # the release manifest's metrics
    clusters: npt.NDArray[np.integer] | None = None  # S: group of each spot; None lets the report group them by expression
    genes_to_map: Sequence[str] | None = None  # None lets the report choose
    settings: Mapping[str, str] = field(default_factory=dict)  # what -> value, in words: adapter fingerprint, software ...
    journal: Sequence[Entry] = ()
    privacy: str | None = None  # what the privacy measurement found, in sentences

    def __post_init__(self) -> None:
        """Check that all parts speak of the same spots and genes.

        Raises:
            BadInput: they do not.
        """
        spots = self.spots
        _same_rows("spots", spots.barcodes, spots.expression, spots.centres)
        _same_columns("spots", spots.genes, spots.expression)
        _known("the split", (*self.split.train, *self.split.test), spots.barcodes)
        if self.clusters is not None:
            _same_rows("groups", spots.barcodes, self.clusters)
        if self.pairs is not None:
            _same_rows("generated patches", self.pairs.barcodes, self.pairs.real, self.pairs.synthetic)
            _known("the conditioning", self.pairs.barcodes, spots.barcodes)
        if self.conditioning is not None:
            _known("the conditioning", self.conditioning.barcodes, spots.barcodes)
        if self.cotrain is not None:
            self._check_cotrain(self.cotrain)

    def _check_cotrain(self, result: CotrainResult) -> None:
        _known("co-training", result.test_barcodes, self.spots.barcodes)
        if not self.predictions:
            return
        missing = {TRUTH, *(arm.label for arm in primary_arms(result))} - set(self.predictions)
        if missing:
            raise BadInput(f"The predictions of co-training lack {min(missing)!r}; run cotrain again.")
        _same_rows("predictions", result.test_barcodes, *self.predictions.values())
        _same_columns("predictions", result.genes, *self.predictions.values())


def _same_rows(what: str, names: Sequence[str], *arrays: npt.NDArray[np.generic]) -> None:
    for array in arrays:
        if len(array) != len(names):
            raise BadInput(f"The {what} have {len(names)} barcodes but {len(array)} rows; run the step that made them again.")


def _same_columns(what: str, genes: Sequence[str], *arrays: npt.NDArray[np.generic]) -> None:
    for array in arrays:
        if array.shape[1] != len(genes):
            raise BadInput(
                f"The {what} have {len(genes)} genes but {array.shape[1]} columns; run the step that made them again."
            )


def _known(what: str, barcodes: Sequence[str], known: Sequence[str]) -> None:
    strange = set(barcodes) - set(known)
    if strange:
        raise BadInput(
            f"The result of {what} names the spot {min(strange)!r}, which this site does not have; "
            "it was made from other spots: run that step again."
        )
