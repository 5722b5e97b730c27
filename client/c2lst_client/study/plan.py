"""What a study still has to make, counted before anything is made, and how long that may take on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from c2lst_client.arms import lengths_of
from c2lst_client.expression_plan import ExpressionMode
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.split import split_spots
from c2lst_client.study.design import Division
from c2lst_client.study.workshop import Workshop
from c2lst_shared import journal
from c2lst_shared.errors import BadArtefact, BadInput


class StudyPlan(BaseModel):
    """Work that is left."""

    divisions: int
    adapters: int
    adaptation_steps: int
    pairs: int  # patches to generate
    predictors: int  # trainings, finished ones among them
    seconds: float | None  # of adaptation and generation, by what earlier steps took here; None when there were none

    def sentences(self) -> list[str]:
        """Say it in words."""
        found = [
            f"{self.divisions} divisions of the spots.",
            f"{self.adapters} adapters to train ({self.adaptation_steps:,} steps), {self.pairs:,} pairs to generate.",
            f"{self.predictors} predictors, those that are trained already among them.",
        ]
        if self.seconds is not None:
            found.append(
                f"Adapters and pairs will take about {self.seconds / 60:.0f} min here; predictors and figures come on top."
            )
        return found


class Work(NamedTuple):
    """What one division takes, whether it is made already or not."""

    adaptation_steps: int
    pairs: dict[ExpressionMode, int]  # patches to generate, of each mode
    predictors: int  # trainings
    training_steps: int  # of them

    @property
    def total(self) -> int:
        """All of it, counted one by one: a step of one kind takes about as long as one of another."""
        return self.adaptation_steps + sum(self.pairs.values()) + self.training_steps


def work_of(workshop: Workshop, division: Division) -> Work:
    """Count what a division takes."""
    design, manifest = workshop.design, workshop.release.manifest
    split = split_spots(workshop.spots, manifest.backbone.patch_um, division.fraction, division.method, division.seed)
    modes: tuple[ExpressionMode, ...] = ("interpolated", "observed") if design.has_controls(division) else ("interpolated",)
    lengths = [steps for recipe in design.arms(division) for steps in lengths_of(recipe, len(split.train), design.predictor)]
    return Work(
        adaptation_steps=manifest.defaults.adaptation.steps,
        pairs={mode: design.highest * len(split.train) for mode in modes},
        predictors=len(lengths) * design.predictor.seeds,
        training_steps=sum(lengths) * design.predictor.seeds,
    )


def plan_study(workshop: Workshop) -> StudyPlan:
    """Count what the divisions of a study need and do not have."""
    design = workshop.design
    adapters, pairs, predictors = 0, 0, 0
    for division in design.divisions:
        work = work_of(workshop, division)
        adapters += not workshop.has_adapter(division)
        pairs += sum(n for mode, n in work.pairs.items() if not _is_made(workshop.pairs_folder(division, mode)))
        predictors += work.predictors
    steps = adapters * workshop.release.manifest.defaults.adaptation.steps
    return StudyPlan(
        divisions=len(design.divisions),
        adapters=adapters,
        adaptation_steps=steps,
        pairs=pairs,
        predictors=predictors,
        seconds=_seconds(workshop, adapters, pairs),
    )


def _is_made(folder: Path) -> bool:
    try:
        PairSet.open(folder)
    except (BadInput, BadArtefact):
        return False
    return True


def _seconds(workshop: Workshop, adapters: int, pairs: int) -> float | None:
    site = {entry.step: entry.seconds for entry in journal.read(workshop.folder.parent).entries}
    if "adapt" not in site or "synthesise" not in site:
        return None
    try:
        made = len(PairSet.open(workshop.folder.parent / "synthetic"))
    except (BadInput, BadArtefact):
        return None
    return adapters * site["adapt"] + pairs * site["synthesise"] / max(made, 1)
