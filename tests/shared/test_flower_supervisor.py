"""The supervisor starts again what dies, waits longer each time, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from c2lst_shared.flower import child
from c2lst_shared.flower.supervisor import Event, Service, Supervisor


def _service(tmp_path: Path, program: str, name: str = "child") -> Service:
    return Service(name, [sys.executable, "-c", program], dict(os.environ), tmp_path / f"{name}.log")


LIMIT = 60.0  # seconds for what takes one: other tests run beside this one


def _run(services: list[Service], enough: Callable[[list[Event]], bool]) -> list[Event]:
    """What happens until it is enough, and at the end."""
    events: list[Event] = []
    until = time.monotonic() + LIMIT
    Supervisor(services, events.append).run(lambda: enough(events) or time.monotonic() > until)
    return events


def _wait_for(state: Callable[[], bool]) -> bool:
    until = time.monotonic() + LIMIT
    while not (found := state()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def test_child_that_dies_is_started_again_after_a_pause_that_doubles(tmp_path: Path) -> None:
    events = _run([_service(tmp_path, "raise SystemExit(3)")], lambda seen: len(_ended(seen)) == 2)

    ended = _ended(events)
    assert [event.again_in for event in ended][:2] == [1.0, 2.0]
    assert {event.code for event in ended} == {3}
    assert ended[0].sentence() == "child ended with code 3; it starts again in 1 s"


def test_stop_ends_the_children_and_what_they_started(tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    program = f"""
import pathlib, subprocess, sys, time
found = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
written = pathlib.Path({str(grandchild) + ".new"!r})
written.write_text(str(found.pid))
written.rename({str(grandchild)!r})
time.sleep(60)
"""
    events = _run([_service(tmp_path, program)], lambda _: grandchild.exists())

    assert [event.state for event in events] == ["running", "stopped"]
    assert not _lives(events[0].pid)
    assert _wait_for(lambda: not _lives(int(grandchild.read_text())))  # it was killed, and has that to do itself


@pytest.mark.slow
def test_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2lst_shared.flower.supervisor.GRACE", 0.5)
    deaf = tmp_path / "deaf"
    program = "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    program += f"; pathlib.Path({str(deaf)!r}).touch(); time.sleep(60)"

    events = _run([_service(tmp_path, program)], lambda _: deaf.exists())

    assert events[-1].code == -signal.SIGKILL


def test_restart_begins_at_once(tmp_path: Path) -> None:
    events: list[Event] = []
    supervisor = Supervisor([_service(tmp_path, "import time; time.sleep(60)")], events.append)
    until = time.monotonic() + LIMIT
    asked = []

    def once() -> None:
        if not asked:
            asked.append(True)
            supervisor.restart("child")

    def started_again() -> bool:
        return [event.state for event in events].count("running") == 2

    supervisor.run(lambda: started_again() or time.monotonic() > until, meanwhile=once)

    assert [event.state for event in events] == ["running", "stopped", "running", "stopped"]


def test_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(60)\n")
    program = "import subprocess, time; from c2lst_shared.flower import child\n"
    program += "print(subprocess.Popen(child.command('sleeper')).pid, flush=True); time.sleep(60)"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert _lives(pid)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert _wait_for(lambda: not _lives(pid))


def test_log_is_for_the_owner_only(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    _run([_service(tmp_path, "print('said', flush=True)")], lambda _: log.exists() and bool(log.read_text()))

    assert log.read_text().startswith("said")
    assert log.stat().st_mode & 0o077 == 0


def test_command_names_the_parent() -> None:
    assert child.command("module", "argument")[1:] == [
        "-m",
        "c2lst_shared.flower.child",
        str(os.getpid()),
        "module",
        "argument",
    ]


def _ended(events: list[Event]) -> list[Event]:
    return [event for event in events if event.state == "ended"]


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
