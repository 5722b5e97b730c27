"""Keeps processes running: what dies is started again after a pause that doubles, and all of them end together.

Each child leads a process group of its own, so that ending it ends what it started. When the supervisor itself is killed, its
children end by `child.die_with`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0  # seconds
STEADY = 60.0  # seconds after which a child counts as well again
GRACE = 10.0  # seconds to end by itself
LOOK = 0.2  # seconds between two looks
MAX_LOG_BYTES = 8 << 20  # per child; at a start beyond it the log becomes NAME.log.1

State = Literal["running", "ended", "stopped"]


@dataclass(frozen=True)
class Service:
    """A process that is to run all the time."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path  # its standard output and error


class Event(BaseModel):
    """Something that happened to a child."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    name: str
    state: State
    pid: int
    code: int | None = None  # exit code, or minus the signal
    again_in: float | None = None  # seconds until it is started again

    def sentence(self) -> str:
        """Say it in one line."""
        if self.state == "running":
            return f"{self.name} runs (process {self.pid})"
        how = f"by signal {-self.code}" if self.code is not None and self.code < 0 else f"with code {self.code}"
        again = "" if self.again_in is None else f"; it starts again in {self.again_in:.0f} s"
        return f"{self.name} ended {how}{again}"


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0  # when to start it, on the monotonic clock
    pause: float = FIRST_PAUSE
    starts: int = field(default=0)


class Supervisor:
    """Runs `services` until told to stop; `report` hears of each start and end."""

    def __init__(self, services: Sequence[Service], report: Callable[[Event], None]) -> None:
        self._children = {service.name: _Child(service) for service in services}
        self._report = report

    def run(self, stop: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Keep them running until `stop()` is true, then end them; call `meanwhile` about five times a second."""
        try:
            while not stop():
                self._look()
                meanwhile()
                time.sleep(LOOK)
        finally:
            self._end([child for child in self._children.values() if child.process is not None])

    def restart(self, *names: str) -> None:
        """End these and start them again at once."""
        children = [self._children[name] for name in names]
        self._end([child for child in children if child.process is not None])
        for child in children:
            child.pause, child.due = FIRST_PAUSE, 0.0

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        return {name: child.process.pid for name, child in self._children.items() if child.process is not None}

    @property
    def starts(self) -> dict[str, tuple[bool, int]]:
        """Of each process, whether it runs now and how often it was started."""
        return {name: (child.process is not None, child.starts) for name, child in self._children.items()}

    def _look(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.process is None:
                if now >= child.due:
                    self._start(child, now)
                continue
            code = child.process.poll()
            if code is None:
                continue
            _signal_group(child.process.pid, signal.SIGKILL)  # what it left behind
            child.pause = FIRST_PAUSE if now - child.started > STEADY else child.pause
            child.due = now + child.pause
            self._report(Event(name=child.service.name, state="ended", pid=child.process.pid, code=code, again_in=child.pause))
            child.pause = min(2 * child.pause, LONGEST_PAUSE)
            child.process = None

    def _start(self, child: _Child, now: float) -> None:
        service = child.service
        service.log.parent.mkdir(parents=True, exist_ok=True)
        if service.log.exists() and service.log.stat().st_size > MAX_LOG_BYTES:
            service.log.replace(service.log.with_suffix(".log.1"))
        with open(service.log, "ab", opener=_private) as log:
            child.process = subprocess.Popen(
                list(service.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(service.environment),
                start_new_session=True,
            )
        child.started, child.starts = now, child.starts + 1
        self._report(Event(name=service.name, state="running", pid=child.process.pid))

    def _end(self, children: Sequence[_Child]) -> None:
        for child in children:
            if child.process is not None:
                _signal_group(child.process.pid, signal.SIGTERM)
        until = time.monotonic() + GRACE
        for child in children:
            if child.process is None:
                continue
            try:
                code = child.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(child.process.pid, signal.SIGKILL)
                code = child.process.wait()
            _signal_group(child.process.pid, signal.SIGKILL)
            self._report(Event(name=child.service.name, state="stopped", pid=child.process.pid, code=code))
            child.process = None


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: only zombies are left (macOS)
        os.killpg(pid, number)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
