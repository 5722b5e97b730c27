"""What a study found: closed records of plain numbers, written to `study.json` and to CSV tables."""

from __future__ import annotations

from c2lst_client.evaluate.results import Arm, ConditioningResult, Interval, Result
from c2lst_client.study.coherence import CoherencePart
from c2lst_client.study.correspondence import CorrespondencePart
from c2lst_client.study.design import StudyDesign
from c2lst_client.study.disclosure import DisclosurePart
from c2lst_client.study.quality import QualityPart


class DivisionResult(Result):
    """One division: its sizes and all of its arms."""

    label: str
    method: str
    fraction: float
    seed: int
    train_spots: int
    test_spots: int
    overlapping: int  # held-out spots whose patch overlaps a training patch
    arms: list[Arm]
    conditioning: ConditioningResult | None = None  # measured on the first division of each kind


class EfficiencyPoint(Result):
    """One arm at one fraction of the spots, over all divisions of a kind."""

    method: str
    fraction: float
    train_spots: int
    arm: str
    error: Interval  # MAE, z-scores
    against_real: Interval  # relative change of the MAE; negative is better
    against_augmentation: Interval


class RatioRow(Result):
    """One arm of the ratio table, at the main fraction of random divisions."""

    arm: str
    ratio: int | None
    error: Interval
    against_real: Interval
    genes: int
    gene_change_mean: float  # of the genes' relative changes against real only, mean over divisions first
    gene_change_sd: float
    genes_better: float  # share of the genes whose error fell


class Control(Result):
    """What a control says about the pairs."""

    method: str
    question: str
    arm: str
    against: str
    divisions: int  # how many of the method's have both arms
    change: Interval


class StudyResult(Result):
    """Everything that a study measured."""

    site: str
    release: str
    preset: str
    made_from: str
    design: StudyDesign
    genes: int
    spots: int
    divisions: list[DivisionResult]
    efficiency: list[EfficiencyPoint]
    ratios: list[RatioRow]
    controls: list[Control]
    quality: QualityPart | None
    correspondence: CorrespondencePart | None  # None: could not be measured, `notes` says why
    coherence: CoherencePart | None
    disclosure: DisclosurePart | None
    notes: list[str]
    method: str  # how intervals were made, in a sentence
    verdict: list[str]  # sentences
    seconds: dict[str, float]  # kind of work -> seconds of this machine
