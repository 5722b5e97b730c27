"""What a training run leaves behind: `run.json`, the record that pretraining writes and publishing reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from c2lst_server.home import Home
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.presets import BackboneConfig, DiffusionConfig, TrainingConfig
from c2lst_shared.release.manifest import Count, Organ, StainReference

RUN = "run.json"
CORPUS, CHECKPOINT = "corpus", "checkpoint.safetensors"  # can be made again from the images
SAMPLES_FOLDER = "samples"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RunId = Annotated[str, StringConstraints(pattern=f"^{_RUN_ID.pattern}$")]


class RunRecord(BaseModel):
    """One run of pretraining, as far as it got."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: RunId
    organ: Organ
    preset: str
    state: Literal["training", "stopped", "finished"]
    started: AwareDatetime
    finished: AwareDatetime | None = None
    backbone: BackboneConfig
    diffusion: DiffusionConfig
    stain: StainReference
    training: TrainingConfig
    seed: int
    steps_done: Count = 0
    images: Count  # in the corpus
    tiles: Count  # in the corpus
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}  # name -> value, for example validation_loss
    software: dict[str, str] = {}  # package -> version


def save_run(home: Home, record: RunRecord) -> None:
    """Write run.json into the run's folder, atomically."""
    atomic.write_text(home.run(record.run_id) / RUN, record.model_dump_json(indent=1))


def load_run(home: Home, run_id: str) -> RunRecord:
    """Return the record of the run called `run_id`.

    Raises:
        BadInput: there is no such run.
        BadArtefact: its record is damaged.
    """
    path = home.run(run_id) / RUN
    if not _RUN_ID.fullmatch(run_id) or not path.is_file():
        known = ", ".join(run_ids(home)) or "none yet"
        raise BadInput(f"There is no run {run_id!r} in {home.path}; the runs are: {known}.")
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise BadArtefact(f"{path} is damaged at {'.'.join(map(str, first['loc']))}: {first['msg']}; train again.") from error


def run_ids(home: Home) -> list[str]:
    """Return the names of all runs, sorted."""
    return sorted(path.parent.name for path in (home.path / "runs").glob(f"*/{RUN}"))


def sample_grids(home: Home, run_id: str, *, most: int) -> list[Path]:
    """Return the newest samples images of a run, the newest first; none when it drew none yet."""
    return sorted((home.run(run_id) / SAMPLES_FOLDER).glob("*.png"), reverse=True)[:most]


def latest_samples(home: Home, run_id: str) -> Path:
    """Return the last samples image of a run (names carry the step, so the last by name is the last in time).

    Raises:
        BadInput: the run drew no samples.
    """
    images = sample_grids(home, run_id, most=1)
    if not images:
        raise BadInput(f"Run {run_id} has no image in its {SAMPLES_FOLDER} folder; train it until it draws samples.")
    return images[0]
