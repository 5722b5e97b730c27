"""What each step of a journey cost: wall time and peak memory, kept beside what the step made."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from c2lst_shared import atomic

JOURNAL = "journal.json"


class Entry(BaseModel):
    """One step as it ran."""

    model_config = ConfigDict(extra="forbid")

    step: str
    finished: datetime
    seconds: float  # of this step, summed over the runs that it took when it was stopped and resumed
    peak_rss_mib: float  # highest resident memory of the process that ran the step, up to its end


class Journal(BaseModel):
    """The steps of one folder, the latest entry per step, in the order in which they finished."""

    entries: list[Entry] = []


def read(folder: Path) -> Journal:
    """Return the journal of `folder`, empty when there is none yet."""
    path = folder / JOURNAL
    return Journal.model_validate_json(path.read_text()) if path.exists() else Journal()


@contextmanager
def recorded(step: str, folder: Path, *, already_spent: float = 0.0) -> Iterator[None]:
    """Time the body and put the entry into the journal of `folder` when it ends without an error.

    `already_spent` is the time, in seconds, of earlier runs of the same step that were stopped.
    """
    began = time.monotonic()
    yield
    entry = Entry(
        step=step,
        finished=datetime.now(UTC),
        seconds=already_spent + time.monotonic() - began,
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
    kept = [old for old in read(folder).entries if old.step != step]
    atomic.write_text(folder / JOURNAL, Journal(entries=[*kept, entry]).model_dump_json(indent=1))
