"""Several processes take the steps that one would take, and stop together."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import training_process

from c2lst_shared.diffusion.workers import Workers
from c2lst_shared.errors import BadInput


def test_one_process_takes_the_whole_batch():
    workers = Workers()
    assert workers.is_first
    assert list(range(6))[workers.part(6)] == list(range(6))
    assert workers.any(True)
    assert not workers.any(False)


def test_parts_cover_a_batch_and_one_that_does_not_divide_is_refused():
    workers = Workers()
    workers.count = 2
    parts = []
    for workers.rank in (0, 1):
        parts += list(range(6))[workers.part(6)]
    assert parts == list(range(6))
    with pytest.raises(BadInput, match="batch of 5 cannot be divided among 2"):
        workers.part(5)


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one_and_stop_at_the_same_step(tmp_path):
    script = Path(training_process.__file__)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    for count in ("1", "2"):
        subprocess.run([*launcher, count, str(script), str(tmp_path)], check=True, timeout=300)
    alone, first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("1-0", "2-0", "2-1"))
    assert len(alone["losses"]) == 4  # the last process asked all to stop
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-3)
    assert first == second
    assert first["left"]  # a process that ends as a member may be aborted by a thread of the group
    assert first["weights"] == pytest.approx(alone["weights"], rel=1e-3, abs=3e-4)  # bf16 rounds other sums
