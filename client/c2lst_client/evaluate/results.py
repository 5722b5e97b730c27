"""What the measuring steps write down and the report reads: plain numbers, one JSON file per step.

Arrays that a page would not want inline (predictions per spot and gene) lie beside the JSON as `.npz`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Result(BaseModel):
    """A closed record."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StepResult(Result):
    """What a step measured, with the fingerprint of what it was measured on."""

    made_from: str = ""


class Interval(Result):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


ArmKind = Literal[
    "mean",  # predicts the training mean: the floor
    "real",
    "real+augmentation",
    "synthetic",
    "real+synthetic",
    "real+synthetic+augmentation",
    "real+shuffled",  # synthetic pairs whose patches were generated from another pair's expression
    "real+unadapted",  # patches of the backbone alone, paired with expression by chance
    "real+observed",  # synthetic pairs with the observed expression of training spots
]


def arm_label(kind: ArmKind, ratio: int | None = None, epochs: int | None = None) -> str:
    """Return an arm in words, the one name that it has in tables, files and logs."""
    words = kind.replace("+", " + ")
    return f"{words}{f' x{ratio}' if ratio is not None else ''}{f', {epochs} epochs' if epochs is not None else ''}"


class Arm(Result):
    """One way of training the predictor; for how many optimiser steps, `c2lst_client/arms.py` says."""

    kind: ArmKind
    ratio: int | None = None  # synthetic pairs per real training spot; None where none are used
    epochs: int | None = None  # passes over all its data, as the paper trains: more data, more steps
    seeds: list[int]  # none where nothing is trained
    mae_per_seed: list[float]  # z-score units, mean over held-out spots and genes
    pearson_per_seed: list[float]  # mean over genes of r across held-out spots
    mae: Interval  # mean over seeds; interval by bootstrap over held-out spots (and seeds)
    pearson: Interval
    mae_per_gene: list[float]  # mean over seeds, in panel order
    pearson_per_gene: list[float]

    @property
    def label(self) -> str:
        """The arm in words, for tables: `real + synthetic x5`."""
        return arm_label(self.kind, self.ratio, self.epochs)


class Comparison(Result):
    """Relative change of the MAE of `arm` against `against`, paired over held-out spots; negative is better."""

    arm: str  # Arm.label
    against: str
    change: Interval  # (MAE of arm - MAE of against) / MAE of against


class CotrainResult(StepResult):
    """Everything that co-training measured. Predictions are in `predictions.npz`: `truth` and one array per arm label."""

    genes: list[str]
    train_spots: int
    test_spots: int
    test_barcodes: list[str]
    steps: int
    architecture: str
    arms: list[Arm]
    comparisons: list[Comparison]
    primary: Comparison  # declared before looking: the highest ratio of real+synthetic against real only
    # The same against real only of equally many steps, as `primary` takes the length that suits it best; earlier files lack it.
    as_long: Comparison | None = None
    helped: bool
    verdict: str  # two or three sentences with the interval
    method: str = ""  # how arms were trained and intervals made, in sentences

    @property
    def seeds(self) -> int:
        """Repeats of each arm that is trained."""
        return max(len(arm.seeds) for arm in self.arms)

    @property
    def ratios(self) -> tuple[int, ...]:
        """Synthetic pairs per real training spot, rising."""
        return tuple(sorted({arm.ratio for arm in self.arms if arm.ratio is not None}))


class ConditioningResult(StepResult):
    """Does the synthetic tissue follow the expression? Nuclear fraction of real and generated patches, held-out spots."""

    r: Interval  # Pearson, bootstrap over parts of the slide
    concordance: Interval  # Lin's: r, lowered where mean or spread differ, as on patches that are no tissue but follow r
    shuffled_r: Interval  # the same with conditions shuffled between spots, many times: what no conditioning looks like
    ridge_r: Interval  # ridge regression of the nuclear fraction on the same genes: what the genes know
    guidance: float
    sampler: str
    steps: int
    samples_per_spot: int
    barcodes: list[str]
    real: list[float]  # nuclear fraction per held-out spot
    synthetic: list[float]
