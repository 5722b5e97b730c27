"""The record of a run is read back as it was written, and a damaged one is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from c2lst_server.home import Home
from c2lst_server.runs import RunRecord, latest_samples, load_run, run_ids, save_run
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.presets import get_preset
from c2lst_shared.release.manifest import StainReference


@pytest.fixture
def record() -> RunRecord:
    preset = get_preset("tiny")
    return RunRecord(
        run_id="mob-tiny",
        organ="mob",
        preset="tiny",
        state="training",
        started=datetime.now(UTC),
        backbone=preset.backbone,
        diffusion=preset.diffusion,
        stain=StainReference(method="macenko", matrix=((1, 0, 0), (0, 1, 0)), max_concentration=(1, 1)),
        training=preset.pretraining,
        seed=0,
        images=1,
        tiles=10,
    )


def test_record_is_read_back_as_it_was_written(tmp_path: Path, record: RunRecord) -> None:
    save_run(Home(tmp_path), record)
    assert load_run(Home(tmp_path), "mob-tiny") == record
    assert run_ids(Home(tmp_path)) == ["mob-tiny"]


@pytest.mark.parametrize("run_id", ["other", "..", "../runs/mob-tiny", "mob-tiny/", ""])
def test_run_that_is_not_there_is_named(tmp_path: Path, record: RunRecord, run_id: str) -> None:
    save_run(Home(tmp_path), record)
    with pytest.raises(BadInput, match=r"There is no run .*; the runs are: mob-tiny\."):
        load_run(Home(tmp_path), run_id)


def test_damaged_record_is_named(tmp_path: Path, record: RunRecord) -> None:
    home = Home(tmp_path)
    save_run(home, record)
    path = home.run("mob-tiny") / "run.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": "none"'))
    with pytest.raises(BadArtefact, match=r"run.json is damaged at seed"):
        load_run(home, "mob-tiny")


def test_metric_that_is_not_a_number_cannot_be_recorded(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="finite number"):
        RunRecord.model_validate(record.model_dump() | {"metrics": {"validation_loss": float("nan")}})


def test_last_samples_are_those_of_the_highest_step(tmp_path: Path, record: RunRecord) -> None:
    home = Home(tmp_path)
    save_run(home, record)
    with pytest.raises(BadInput, match="mob-tiny has no image in its samples folder"):
        latest_samples(home, "mob-tiny")
    folder = home.run("mob-tiny") / "samples"
    folder.mkdir()
    for step in (1500, 500, 1000):
        (folder / f"step_{step:06}.png").touch()
    assert latest_samples(home, "mob-tiny").name == "step_001500.png"
