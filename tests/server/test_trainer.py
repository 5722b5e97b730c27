"""Queued trainings with real processes: whatever is killed or asked to stop, each runs once and follows the same curve."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.toy_training import DIES_AT, STEPS, TOY
from fakes.training_centre import TrainingCentre, write_corpus, write_images

from c2lst_server.runs import latest_samples, load_run
from c2lst_server.training.pretrain import train
from c2lst_server.trainings import store
from c2lst_server.trainings.store import TrainingView
from c2lst_shared.presets import PRESETS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_corpus(write_images(root / "slides"), root / "corpus")
    return root


@pytest.fixture(scope="module")
def undisturbed(images: Path, template: Central, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The losses of `c2lst-server train` with the same choices."""
    centre = TrainingCentre(template.copy(tmp_path_factory.mktemp("undisturbed") / "home"), images)
    train(centre.settings.folders, organ="mob", images=images / "corpus", preset=TOY, run_id="r", um_per_px=2.75)
    return centre.losses("r")


@pytest.fixture
def centre(central: Central, images: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingCentre]:
    monkeypatch.setitem(PRESETS, "toy", TOY)
    centre = TrainingCentre(central, images)
    yield centre
    centre.end()


def in_the_middle(view: TrainingView) -> bool:
    return view.state == "running" and view.stage == "pretrain" and 8 <= (view.step or 0) < STEPS - 10


def is_over(view: TrainingView) -> bool:
    return view.is_over


def end(trainer: subprocess.Popen[bytes]) -> None:
    trainer.terminate()
    trainer.wait(200)
    assert trainer.returncode == 0


def test_two_trainers_share_a_queue_and_no_training_runs_twice(centre: TrainingCentre, undisturbed: dict[str, object]) -> None:
    runs = [f"run-{number}" for number in range(3)]
    for run in runs:
        centre.queue(run)
    trainers = [centre.start_trainer(pause=0.05) for _ in range(2)]
    most = dict.fromkeys(runs, 0)
    together = 0
    end_by = time.monotonic() + 500
    while not all(centre.show(run).is_over for run in runs):
        assert time.monotonic() < end_by
        for run in runs:
            most[run] = max(most[run], len(centre.jobs(run)))
        together = max(together, len(centre.jobs()))
        time.sleep(0.1)
    for trainer in trainers:
        end(trainer)
    assert most == dict.fromkeys(runs, 1)
    assert together == 2
    for run in runs:
        view = centre.show(run)
        assert (view.state, view.step, view.crashes) == ("finished", STEPS, 0)
        assert view.metrics == load_run(centre.settings.folders, run).metrics
        assert view.curve[-1].step == STEPS
        assert centre.losses(run) == undisturbed


def test_killed_process_goes_on_from_its_checkpoint(centre: TrainingCentre, undisturbed: dict[str, object]) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.2)
    centre.wait("r", in_the_middle)
    (first,) = centre.jobs("r")
    os.kill(first, signal.SIGKILL)
    assert centre.wait("r", is_over).state == "finished"
    assert centre.losses("r") == undisturbed
    end(trainer)
    assert centre.jobs() == []


def test_killed_trainer_takes_its_process_with_it_and_the_next_one_goes_on(
    centre: TrainingCentre, undisturbed: dict[str, object]
) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.2)
    centre.wait("r", in_the_middle)
    trainer.kill()
    trainer.wait()
    end_by = time.monotonic() + 120
    while centre.jobs("r"):
        assert time.monotonic() < end_by, "an orphan works on"
        time.sleep(0.1)
    assert centre.show("r").state == "queued"  # its process still saved, and gave it back
    assert centre.start_trainer(once=True).wait(400) == 0
    assert centre.show("r").state == "finished"
    assert centre.losses("r") == undisturbed


def test_everything_killed_at_once_is_taken_up_when_the_lease_has_run_out(
    centre: TrainingCentre, undisturbed: dict[str, object]
) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.2)
    centre.wait("r", in_the_middle)
    for process in (trainer.pid, *centre.jobs("r")):
        os.kill(process, signal.SIGKILL)
    trainer.wait()
    centre.wait("r", lambda view: view.state == "stalled", 90)  # nobody was left to write it down, and it is not said to run
    again = centre.start_trainer()
    assert centre.wait("r", is_over).state == "finished"
    assert centre.losses("r") == undisturbed
    end(again)


def test_death_at_the_same_step_again_and_again_is_given_up(centre: TrainingCentre, undisturbed: dict[str, object]) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(more={DIES_AT: "13"})
    view = centre.wait("r", is_over)
    end(trainer)
    assert (view.state, view.error, view.crashes) == ("failed", "crashed", 3)
    with centre.central.session() as session:
        store.resume(session, "r")
    assert centre.start_trainer(once=True).wait(400) == 0
    assert centre.losses("r") == undisturbed


def test_cancelled_training_leaves_its_checkpoint_and_resumes(centre: TrainingCentre, undisturbed: dict[str, object]) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.2)
    centre.wait("r", in_the_middle)
    with centre.central.session() as session:
        assert store.cancel(session, "r").state == "cancelling"
    view = centre.wait("r", is_over, 200)
    assert view.state == "cancelled"
    stopped = load_run(centre.settings.folders, "r")
    assert stopped.state == "stopped"
    assert 8 <= stopped.steps_done < STEPS
    assert (centre.settings.folders.run("r") / "checkpoint.safetensors").is_file()
    with centre.central.session() as session:
        assert store.resume(session, "r").state == "queued"
    assert centre.wait("r", is_over).state == "finished"
    assert centre.losses("r") == undisturbed
    end(trainer)


def test_polite_stop_gives_the_training_back_at_once(centre: TrainingCentre) -> None:
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.2)
    centre.wait("r", in_the_middle)
    end(trainer)
    view = centre.show("r")
    assert (view.state, view.crashes, view.error) == ("queued", 0, None)
    assert load_run(centre.settings.folders, "r").state == "stopped"


def test_training_over_two_processes_that_accelerate_starts(centre: TrainingCentre, undisturbed: dict[str, object]) -> None:
    launcher = "accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    centre.queue("r")
    trainer = centre.start_trainer(pause=0.3, more={"C2LST_SERVER_TRAINER_LAUNCHER": launcher})
    centre.wait("r", in_the_middle)
    processes = centre.jobs("r")
    assert len(processes) == 3  # the launcher, and two that compute
    os.kill(max(processes), signal.SIGKILL)  # one of these two
    view = centre.wait("r", is_over, 400)
    assert view.state == "finished"
    assert centre.losses("r")["training"] == pytest.approx(undisturbed["training"], rel=1e-2)
    end(trainer)
    assert centre.jobs() == []


def test_command_trains_what_was_queued(centre: TrainingCentre) -> None:
    centre.queue("real", images="slides", preset="tiny", steps=2, um_per_px=2.75)
    home, images = str(centre.settings.folders.path), str(centre.settings.images_root)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "C2LST_SERVER_IMAGES": images}
    words = [sys.executable, "-m", "c2lst_server", "trainer", "--once", "--json", "--home", home]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["run"], event["what"]) for event in events] == [("real", "began"), ("real", "ended")]
    view = centre.show("real")
    assert (view.state, view.step, [point.step for point in view.curve]) == ("finished", 2, [1, 2])
    assert latest_samples(centre.settings.folders, "real").name == "step_000002.png"
