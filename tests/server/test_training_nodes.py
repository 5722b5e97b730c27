"""A training over two machines, each started by hand, is that of one machine with as many processes, to the last bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.federation import free_port
from fakes.toy_training import MODULE
from fakes.training_centre import TrainingCentre, write_corpus, write_images

STEPS = 6


def launch(centre: TrainingCentre, *machines: str) -> subprocess.Popen[str]:
    """Start `accelerate launch ... --module c2lst_server train ...` as the document says, for the toy preset."""
    launcher = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2", *machines]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--module", MODULE, "command"]
    train = ["train", "--organ", "mob", "--images", str(centre.settings.images_root), "--preset", "toy", "--run", "r"]
    train += ["--steps", str(STEPS), "--home", str(centre.settings.folders.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*launcher, *train], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def check_ended(*launched: subprocess.Popen[str]) -> list[str]:
    """Return what each said."""
    said = []
    try:
        for process in launched:
            said.append(process.communicate(timeout=300)[0])
            assert process.returncode == 0, said[-1]
    finally:
        for process in launched:
            process.kill()
            process.wait()
    return said


@pytest.mark.slow
@pytest.mark.load
def test_two_machines_train_what_one_with_two_processes_trains(template: Central, tmp_path: Path) -> None:
    corpus = write_corpus(write_images(tmp_path / "slides"), tmp_path / "corpus")
    one, two = (TrainingCentre(template.copy(tmp_path / name), corpus) for name in ("one", "two"))
    check_ended(launch(one, "--num_machines", "1", "--main_process_port", "0"))
    first = ("--num_machines", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()))
    said = check_ended(*(launch(two, *first, "--machine_rank", str(rank)) for rank in (0, 1)))
    assert ["Run r is trained" in words for words in said] == [True, False]  # the first machine alone writes and speaks
    assert len(two.losses("r")["training"]) == STEPS  # type: ignore[arg-type]
    assert two.losses("r") == one.losses("r")  # the same two parts of each batch, added up in the same order
    weights = [centre.settings.folders.run("r") / "weights.safetensors" for centre in (one, two)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
