"""What a user may choose at the steps of the journey."""

from __future__ import annotations

from dataclasses import dataclass

from c2lst_client.spots.split import Method
from c2lst_shared.presets import SamplingConfig


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
