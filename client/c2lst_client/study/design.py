"""What a study varies: divisions of the slide's spots, and for each of them the arms that are trained.

Protocol of C2L-ST (sampling efficiency at 5-50 % of the spots, ratios 1x to 10x) on random divisions; on top of it divisions by
a line, on which no held-out patch overlaps a training patch, and controls that the paper lacks.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

from c2lst_client.arms import Recipe
from c2lst_client.evaluate.results import arm_label
from c2lst_client.spots.records import Record
from c2lst_client.spots.split import Method
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import PredictorConfig, SamplingConfig

FRACTIONS = (0.05, 0.10, 0.25, 0.50)  # of the spots: those of the paper
MAIN = 0.25
RATIOS = (1, 2, 5, 10)
PAPER_EPOCHS = 200

SHUFFLED, UNADAPTED, OBSERVED = "shuffled", "unadapted", "observed"  # names of the pairs of the controls


REAL, AUGMENTED = arm_label("real"), arm_label("real+augmentation")


class Division(NamedTuple):
    """One way of dividing the spots into those that train and those that are held out."""

    method: Method
    fraction: float
    seed: int

    @property
    def label(self) -> str:
        """The division in words."""
        return f"{self.method} {100 * self.fraction:g} %, split {self.seed}"


class StudyDesign(Record):
    """Everything that decides what a study measures, besides release and spots."""

    fractions: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = FRACTIONS
    main: Annotated[float, Field(gt=0, lt=1)] = (
        MAIN  # the fraction with the ratio table, the controls and the blocked divisions
    )
    ratios: tuple[Annotated[int, Field(gt=0)], ...] = RATIOS
    repeats: Annotated[int, Field(ge=1)] = 3  # divisions of each kind
    # Random divisions at the main fraction: with three, chance of the division hides an effect of a per cent. Those beyond
    # `repeats` have the arms of any fraction, without ratios and controls.
    main_repeats: Annotated[int, Field(ge=1)] = 8
    epochs: Annotated[int, Field(gt=0)] | None = (
        PAPER_EPOCHS  # also arms that go by epochs, as in the paper; None leaves them out
    )
    genes: Annotated[int, Field(gt=0)] = 250
    predictor: PredictorConfig
    sampling: SamplingConfig

    @property
    def highest(self) -> int:
        """The highest ratio: that of the arms which are compared everywhere."""
        return max(self.ratios)

    @property
    def divisions(self) -> list[Division]:
        """All divisions, each kind in turn: a study that is stopped early has something of everything."""
        methods = [
            ("random", self.main),
            ("blocked", self.main),
            *(("random", each) for each in self.fractions if each != self.main),
        ]
        of_each = [Division(method, fraction, seed) for seed in range(self.repeats) for method, fraction in methods]  # type: ignore[arg-type]
        return of_each + [Division("random", self.main, seed) for seed in range(self.repeats, self.main_repeats)]

    def arms(self, division: Division) -> list[Recipe]:
        """The arms of a division."""
        best = self.highest
        arms = [
            Recipe("mean"),
            Recipe("real"),
            Recipe("real+augmentation", augment=True),
            Recipe("synthetic", real=False, ratio=best),
            Recipe("real+synthetic", ratio=best),
            Recipe("real+synthetic+augmentation", ratio=best, augment=True),
        ]
        if not self.has_controls(division):
            return arms
        arms += [
            Recipe("real+shuffled", ratio=best, pairs=SHUFFLED),
            Recipe("real+unadapted", ratio=best, pairs=UNADAPTED),
            Recipe("real+observed", ratio=best, pairs=OBSERVED),
        ]
        if division.method != "random":
            return arms
        for ratio in sorted(set(self.ratios) - {best}):
            arms += [Recipe("synthetic", real=False, ratio=ratio), Recipe("real+synthetic", ratio=ratio)]
        if self.epochs is not None:
            arms += [Recipe("real", epochs=self.epochs), Recipe("real+synthetic", ratio=best, epochs=self.epochs)]
        return arms

    def has_controls(self, division: Division) -> bool:
        """Whether a division has the controls, and if it is random the ratio table."""
        return division.fraction == self.main and division.seed < self.repeats


def best_arms(design: StudyDesign) -> tuple[str, str]:
    """Return the arms that the verdict rests on, declared beforehand: the highest ratio, without and with augmentation."""
    return arm_label("real+synthetic", design.highest), arm_label("real+synthetic+augmentation", design.highest)


def fitted(design: StudyDesign, spots: int) -> StudyDesign:
    """Return the design without the fractions, other than the main one, that a slide is too small for."""
    kept = tuple(each for each in design.fractions if each == design.main or _fits(each, spots))
    return design.model_copy(update={"fractions": kept})


def left_out(design: StudyDesign, spots: int) -> list[float]:
    """Return the usual fractions that a slide is too small for; none for a design that has not all the others."""
    fit = [each for each in FRACTIONS if _fits(each, spots)]
    return [each for each in FRACTIONS if each not in fit] if set(fit) == set(design.fractions) else []


def _fits(fraction: float, spots: int) -> bool:
    from c2lst_client.spots.split import MIN_PART

    return min(round(fraction * spots), spots - round(fraction * spots)) >= MIN_PART


def check_design(design: StudyDesign, spots: int) -> None:
    """Refuse a design that a slide is too small for, before anything is trained.

    Raises:
        BadInput: the smallest fraction leaves too few spots, or there is no fraction or ratio.
    """
    from c2lst_client.spots.split import MIN_PART

    if not design.fractions or not design.ratios:
        raise BadInput(
            "A study needs at least one fraction and one ratio; leave --fraction and --ratio out for the usual ones."
        )
    smallest, largest = min(*design.fractions, design.main), max(*design.fractions, design.main)
    if not (_fits(smallest, spots) and _fits(largest, spots)):
        least = max(MIN_PART / smallest, MIN_PART / (1 - largest))
        raise BadInput(
            f"{spots} spots are too few for fractions from {smallest:g} to {largest:g}: either part needs {MIN_PART}, so there "
            f"must be about {least:.0f}; pass --fraction with values that fit."
        )
