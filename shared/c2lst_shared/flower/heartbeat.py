"""Whether a supervisor and its children live, for whoever asks from another process (a container's health check, for example).

The supervisor keeps one small file beside its logs: written when a child starts or ends, touched every other second, which
needs no room on the disk, and removed at an orderly end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from c2lst_shared import atomic
from c2lst_shared.flower.supervisor import Event

BEAT_SECONDS = 2.0
SILENT_SECONDS = 30.0  # longer than a supervisor takes to end a child that does not listen


class Child(BaseModel):
    """One child of a supervisor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pid: int | None  # None = it has ended and is started again soon
    since: AwareDatetime  # when it started or ended


class Processes(BaseModel):
    """A supervisor and its children, as it wrote them down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    supervisor: int
    began: AwareDatetime
    children: tuple[Child, ...]


class Heartbeat:
    """Keeps the file at `path` for a supervisor of children of these names, for as long as the body runs."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._began = datetime.now(UTC)
        self._children = {name: Child(name=name, pid=None, since=self._began) for name in names}
        self._due = 0.0
        self._written = False

    def __enter__(self) -> Heartbeat:
        self.beat()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def hear(self, event: Event) -> None:
        """Note that a child started or ended."""
        pid = event.pid if event.state == "running" else None
        self._children[event.name] = Child(name=event.name, pid=pid, since=event.time)
        self._written, self._due = False, 0.0
        self.beat()

    def beat(self) -> None:
        """Show that the supervisor lives; to be called often."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + BEAT_SECONDS
        try:
            if self._written:
                os.utime(self._path)
            else:
                self._write()
        except OSError:  # a full disk, or somebody removed the file: it is written at the next beat
            self._written = False

    def _write(self) -> None:
        found = Processes(supervisor=os.getpid(), began=self._began, children=tuple(self._children.values()))
        atomic.write_text(self._path, found.model_dump_json(), mode=0o600)
        self._written = True


class Pulse(BaseModel):
    """What was found of a supervisor."""

    model_config = ConfigDict(frozen=True)

    began: AwareDatetime | None = None  # None = it does not run
    children: tuple[Child, ...] = ()
    fault: str | None = None  # what is wrong, in one sentence; None = it and all of its children live


def take_pulse(path: Path, command: str) -> Pulse:
    """Look at the file that the supervisor `command` (its name in sentences) keeps at `path`."""
    try:
        found = Processes.model_validate_json(path.read_bytes())
        heard = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (FileNotFoundError, ValidationError):
        return Pulse(fault=f"`{command}` does not run here; start it.")
    except OSError as error:
        return Pulse(fault=f"Whether `{command}` runs cannot be seen: {path} cannot be read ({error.strerror}).")
    if not _lives(found.supervisor):
        return Pulse(fault=f"`{command}` ended without a word after {heard:%Y-%m-%d %H:%M:%S} UTC; start it again.")
    if datetime.now(UTC) - heard > timedelta(seconds=SILENT_SECONDS):
        return Pulse(fault=f"`{command}` hangs: it was last heard of at {heard:%Y-%m-%d %H:%M:%S} UTC; start it again.")
    ended = [child for child in found.children if child.pid is None or not _lives(child.pid)]
    fault = None
    if ended:
        logs = ", ".join(str(path.parent / f"{child.name}.log") for child in ended)
        names = " and ".join(child.name for child in ended)
        fault = f"`{command}` runs, but its {names} {'does' if len(ended) == 1 else 'do'} not; see {logs}."
    return Pulse(began=found.began, children=found.children, fault=fault)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
