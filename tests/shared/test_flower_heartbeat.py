"""A supervisor's life is seen from another process: while it runs, when a child is missing, when it was killed or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from c2lst_shared.flower.heartbeat import SILENT_SECONDS, Heartbeat, Pulse, take_pulse
from c2lst_shared.flower.supervisor import Event

COMMAND = "c2lst-client join"
PROGRAM = """
import os, sys
from pathlib import Path
from c2lst_shared.flower.heartbeat import Heartbeat
from c2lst_shared.flower.supervisor import Service, Supervisor
from c2lst_shared.stopping import stop_on_signal
folder = Path(sys.argv[1])
names = ("node", "worker")
services = [Service(name, [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ), folder / f"{name}.log")
            for name in names]
with stop_on_signal() as stop, Heartbeat(folder / "processes.json", names) as heartbeat:
    Supervisor(services, heartbeat.hear).run(stop, meanwhile=heartbeat.beat)
"""


def _wait(folder: Path, what: Callable[[Pulse], bool]) -> Pulse:
    until = time.monotonic() + 20
    while not what(found := take_pulse(folder / "processes.json", COMMAND)):
        assert time.monotonic() < until, found
        time.sleep(0.02)
    return found


def _pid(pulse: Pulse, name: str) -> int:
    (pid,) = [child.pid for child in pulse.children if child.name == name]
    assert pid is not None
    return pid


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment)
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(20)


def test_child_that_was_killed_is_missed_until_it_runs_again(supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    well = _wait(tmp_path, lambda pulse: pulse.fault is None)
    assert [child.name for child in well.children] == ["node", "worker"]
    assert (tmp_path / "processes.json").stat().st_mode & 0o077 == 0

    os.kill(_pid(well, "node"), signal.SIGKILL)
    missing = _wait(tmp_path, lambda pulse: pulse.fault is not None)
    assert missing.fault == f"`{COMMAND}` runs, but its node does not; see {tmp_path / 'node.log'}."
    again = _wait(tmp_path, lambda pulse: pulse.fault is None)
    assert _pid(again, "node") != _pid(well, "node")
    assert again.began == well.began

    supervisor.terminate()
    supervisor.wait(20)
    assert take_pulse(tmp_path / "processes.json", COMMAND).fault == f"`{COMMAND}` does not run here; start it."


def test_supervisor_that_was_killed_is_told_from_one_that_was_stopped(
    supervisor: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    well = _wait(tmp_path, lambda pulse: pulse.fault is None)
    supervisor.kill()
    supervisor.wait()
    pulse = take_pulse(tmp_path / "processes.json", COMMAND)
    for child in well.children:  # these have no `die_with`
        os.kill(child.pid or 0, signal.SIGKILL)
    assert pulse.began is None
    assert pulse.fault is not None
    assert pulse.fault.startswith(f"`{COMMAND}` ended without a word after ")


def test_supervisor_that_hangs_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    with Heartbeat(path, ["node"]) as heartbeat:
        heartbeat.hear(Event(name="node", state="running", pid=os.getpid()))
        assert take_pulse(path, COMMAND).fault is None
        long_ago = time.time() - SILENT_SECONDS - 1
        os.utime(path, (long_ago, long_ago))
        assert "hangs: it was last heard of at" in (take_pulse(path, COMMAND).fault or "")


def test_file_that_was_removed_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2lst_shared.flower.heartbeat.BEAT_SECONDS", 0.0)
    path = tmp_path / "processes.json"
    with Heartbeat(path, ["node"]) as heartbeat:
        path.unlink()
        heartbeat.beat()
        heartbeat.beat()
        assert path.exists()
        path.write_text("{")
        assert take_pulse(path, COMMAND).fault == f"`{COMMAND}` does not run here; start it."
