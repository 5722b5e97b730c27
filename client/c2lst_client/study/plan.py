"""What a study still has to make, counted before anything is made, and how long that may take on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from c2lst_client.expression_plan import ExpressionMode
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.split import split_spots
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


def plan_study(workshop: Workshop) -> StudyPlan:
    """Count what the divisions of a study need and do not have."""
    design, manifest = workshop.design, workshop.release.manifest
    adapters, pairs, predictors = 0, 0, 0
    for division in design.divisions:
        split = split_spots(workshop.spots, manifest.backbone.patch_um, division.fraction, division.method, division.seed)
        adapters += not workshop.has_adapter(division)
        modes: tuple[ExpressionMode, ...] = ("interpolated", "observed") if design.has_controls(division) else ("interpolated",)
        for mode in modes:
            pairs += 0 if _is_made(workshop.pairs_folder(division, mode)) else design.highest * len(split.train)
        predictors += sum(recipe.kind != "mean" for recipe in design.arms(division)) * design.predictor.seeds
    steps = adapters * manifest.defaults.adaptation.steps
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
