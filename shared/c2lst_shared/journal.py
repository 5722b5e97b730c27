"""What each step of a journey cost: wall time and peak memory, kept beside what the step made."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from c2lst_shared import atomic, locking

JOURNAL = "journal.json"


class Entry(BaseModel):
    """One step as it ran."""

    model_config = ConfigDict(extra="forbid")

    step: str
    belongs_to: str  # fingerprint of the step's inputs
    finished: datetime
    seconds: float  # summed over the runs that the step took for these inputs; a run that was killed is not in it
    peak_rss_mib: float  # highest resident memory of the processes that ran the step, up to its end


class Journal(BaseModel):
    """The steps of one folder, one entry per step, in the order in which they first finished."""

    entries: list[Entry] = []


def read(folder: Path) -> Journal:
    """Return the journal of `folder`, empty when there is none yet."""
    path = folder / JOURNAL
    return Journal.model_validate_json(path.read_text()) if path.exists() else Journal()


@contextmanager
def recorded(step: str, folder: Path, *, belongs_to: str = "") -> Iterator[None]:
    """Time the body and note it in the journal of `folder`, also when it was stopped.

    Runs of one step on the same inputs add up: a step that was stopped and resumed shows its whole cost, and one that found
    its result already there adds next to nothing. Other inputs start a new entry.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        _note(step, folder, belongs_to, time.monotonic() - began)


def _note(step: str, folder: Path, belongs_to: str, seconds: float) -> None:
    with locking.locked(
        folder / f".{JOURNAL}.lock", f"Another process has been writing {folder / JOURNAL} for a minute.", wait=60
    ):
        entries = {entry.step: entry for entry in read(folder).entries}
        earlier = entries.get(step)
        same = earlier if earlier is not None and earlier.belongs_to == belongs_to else None
        entries[step] = Entry(
            step=step,
            belongs_to=belongs_to,
            finished=datetime.now(UTC),
            seconds=(same.seconds if same else 0.0) + seconds,
            peak_rss_mib=max(same.peak_rss_mib if same else 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        )
        atomic.write_text(folder / JOURNAL, Journal(entries=list(entries.values())).model_dump_json(indent=1))
