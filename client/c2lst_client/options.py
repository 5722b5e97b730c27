"""What a user may choose at the steps of the journey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst_client.spots.split import Method
from c2lst_shared.presets import SamplingConfig
from c2lst_shared.release.manifest import SiteDefaults

if TYPE_CHECKING:
    from c2lst_client.study.design import StudyDesign


@dataclass(frozen=True, kw_only=True)
class AdaptOptions:
    """What a user may choose; None keeps what the adapter has, or else what the release suggests."""

    release: str | None = None
    fraction: float | None = None
    split: Method | None = None
    genes: int | None = None
    steps: int | None = None
    seed: int | None = None
    overwrite: bool = False
    dp_epsilon: float | None = None  # 0 trains without differential privacy
    dp_delta: float | None = None


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """How patches are generated; None keeps what the release suggests."""

    guidance: float | None = None
    steps: int | None = None
    sampler: str | None = None
    seed: int = 0
    overwrite: bool = False

    def apply(self, suggested: SamplingConfig) -> SamplingConfig:
        """The release's suggestion with the user's choices."""
        chosen = {"guidance": self.guidance, "steps": self.steps, "sampler": self.sampler}
        given = {name: value for name, value in chosen.items() if value is not None}
        return SamplingConfig.model_validate(suggested.model_dump() | given)


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What a study varies; None keeps what the design or the release suggests."""

    release: str | None = None
    fractions: tuple[float, ...] | None = None
    ratios: tuple[int, ...] | None = None
    repeats: int | None = None
    main_repeats: int | None = None  # None: as many as `repeats` where those are given
    seeds: int | None = None
    epochs: int | None = None  # 0: no arms that go by epochs
    encoder: str | Path = "built-in"  # or where its configuration and weights lie
    hovernet: Path | None = None  # weights, for cell types
    jobs: int = 1  # processes that make divisions side by side; it changes nothing but the time

    def design(self, suggested: SiteDefaults) -> StudyDesign:
        """The design that these choices give."""
        from c2lst_client.study.design import StudyDesign

        predictor = suggested.predictor.model_copy(update={"seeds": self.seeds or suggested.predictor.seeds})
        design = StudyDesign(genes=suggested.genes, predictor=predictor, sampling=suggested.sampling)
        chosen = {
            "fractions": self.fractions,
            "main": self.fractions and min(self.fractions, key=lambda each: abs(each - design.main)),
            "ratios": self.ratios,
            "repeats": self.repeats,
            "main_repeats": self.main_repeats or self.repeats,
        }
        if self.epochs is not None:
            design = design.model_copy(update={"epochs": self.epochs or None})
        return design.model_copy(update={name: value for name, value in chosen.items() if value is not None})
