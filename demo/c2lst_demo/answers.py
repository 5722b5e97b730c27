"""What the demo reads of the commands' `--json`: the parts that it uses, as any other program would."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel


class Inspected(BaseModel):
    """Spots that were found at a path."""

    um_per_px: float


class Release(BaseModel):
    """A published release."""

    organ: str


class Catalogue(BaseModel):
    """All published releases."""

    releases: list[Release]


class SiteState(BaseModel):
    """A site as the central service knows it."""

    name: str
    state: str


class Interval(BaseModel):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f}  [{self.low:.3f}, {self.high:.3f}]"


class Conditioning(BaseModel):
    """Whether synthetic tissue follows the expression."""

    r: Interval
    concordance: Interval
    shuffled_r: Interval
    ridge_r: Interval
    barcodes: list[str]


class Arm(BaseModel):
    """One way of training the predictor."""

    kind: str
    ratio: int | None
    mae: Interval
    pearson: Interval


class Cotrain(BaseModel):
    """Whether synthetic pairs help the predictor."""

    genes: list[str]
    train_spots: int
    test_spots: int
    arms: list[Arm]
    verdict: str


@dataclass(frozen=True)
class Results:
    """What the institution measured."""

    conditioning: Conditioning
    cotrain: Cotrain
