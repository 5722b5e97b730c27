"""What a queued training is to do: a closed description without a path in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from c2lst_server.runs import RunId
from c2lst_server.settings import Settings
from c2lst_server.trainings.images import FolderName, find_images
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import PRESETS, Preset, get_preset
from c2lst_shared.release.manifest import Organ

MOST_STEPS = 10_000_000


def _is_preset(name: str) -> str:
    try:
        return get_preset(name).name
    except BadInput as error:
        raise ValueError(str(error)) from None


PresetName = Annotated[str, AfterValidator(_is_preset), Field(json_schema_extra={"enum": list(PRESETS)})]


class TrainingPlan(BaseModel):
    """What is asked for; what is None is filled in when it is queued."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organ: Organ
    images: FolderName  # one of the folders under C2LST_SERVER_IMAGES
    preset: PresetName = "small"
    run: RunId | None = None  # name of the run; ORGAN-PRESET by default
    um_per_px: Annotated[float, Field(ge=0.01, le=100)] | None = None  # where the images do not say
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None  # instead of the preset's
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # of weights, batches and noise

    @property
    def full_preset(self) -> Preset:
        """The preset with the steps that are asked for."""
        return get_preset(self.preset).with_training_steps(self.steps)


def completed(settings: Settings, wanted: TrainingPlan) -> TrainingPlan:
    """Return the plan with nothing left open, once its images are known to exist.

    Raises:
        BadInput: no folder of images may be named.
        NotThere: there is no such folder.
    """
    find_images(settings, wanted.images)
    filled = {"run": wanted.run or f"{wanted.organ}-{wanted.preset}", "steps": wanted.full_preset.pretraining.steps}
    return wanted.model_copy(update=filled)
