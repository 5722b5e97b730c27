"""Progress with an ETA on every long step: a bar on a terminal, a line now and then in a log.

Library functions take a `Progress` and know nothing of terminals; commands pass `console_progress()`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichBar
from rich.table import Column

SECONDS_BETWEEN_LINES = 15.0


class Progress(Protocol):
    """Where a long step says how far it is."""

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Begin a step of `total` units, `done` of which were finished by an earlier run."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say that `units` more are done; `note` is shown beside the bar ("loss 0.031")."""


class Silent:
    """Shows nothing: the default of library functions and of `--json`."""

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Ignore the start."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Ignore the progress."""


class _Bar:
    def __init__(self, bar: RichBar) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        self._task = self._bar.add_task(what, total=total, completed=done, note="")

    def advance(self, units: int = 1, note: str = "") -> None:
        if self._task is not None:
            self._bar.update(self._task, advance=units, note=note)


class _Lines:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._what, self._total, self._done, self._first, self._began, self._said = "", 0, 0, 0, 0.0, 0.0

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        self._what, self._total, self._done, self._first = what, total, done, done
        self._began = self._said = time.monotonic()

    def advance(self, units: int = 1, note: str = "") -> None:
        said_last = self._done >= self._total
        self._done += units
        now = time.monotonic()
        last = self._done >= self._total
        if last and said_last:
            return
        if not last and now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        spent = now - self._began
        left = spent / max(self._done - self._first, 1) * (self._total - self._done)
        when = f"took {_clock(spent)}" if last else f"ETA {_clock(left)}"
        self._say(f"{self._what}: {self._done}/{self._total}  {when}  {note}".rstrip())


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def logged_progress(log: logging.Logger) -> Progress:
    """Return progress that writes a line now and then into a log."""
    return _Lines(lambda line: log.info("%s", line))


@contextmanager
def console_progress() -> Iterator[Progress]:
    """Give progress on standard error: bars when it is a terminal, lines otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        plain = Console(file=sys.stderr, soft_wrap=True)
        yield _Lines(lambda line: plain.print(line, highlight=False, markup=False))
        return
    # A long note gives way to the numbers, never the other way round.
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=16),
        MofNCompleteColumn(table_column=Column(min_width=9, no_wrap=True)),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("ETA", table_column=Column(min_width=3)),
        TimeRemainingColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("[dim]{task.fields[note]}", table_column=Column(overflow="ellipsis", ratio=1, no_wrap=True)),
    )
    with RichBar(*columns, console=console, expand=True) as bar:
        yield _Bar(bar)
