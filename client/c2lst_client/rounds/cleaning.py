"""Folders of rounds that are over are removed after a while: each holds an adapter, and pairs where they were made.

The queue's row stays, and the result with it, so that the centre is still answered. What the queue does not know is not
touched. A folder is renamed before it is removed: it is there as a whole or not at all, also when this stops in the middle.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.queue_database import Job, is_over
from c2lst_shared import locking
from c2lst_shared.errors import Busy

DAY = 24 * 3600.0
REMOVED = ".removed"  # at the end of the name of a folder that is being removed


@dataclass(frozen=True)
class OldRound:
    """A round that is over, and whose folder is older than the policy keeps it."""

    job: Job
    folder: Path
    days: float  # since it ended
    size: int  # bytes


def find_old_rounds(home: Home, keep_days: float, clock: Callable[[], float] = time.time) -> list[OldRound]:
    """Return the rounds whose folders may go, in the order in which the rounds came.

    Raises:
        BadArtefact: the queue is damaged.
    """
    if not home.round_queue.exists():  # nothing is made by looking
        return []
    now = clock()
    found = []
    for job in JobQueue(home.round_queue, clock).all():
        folder, days = home.round(job.round_id), (now - job.updated) / DAY
        if is_over(job) and days >= keep_days and folder.is_dir():
            found.append(OldRound(job, folder, days, _size(folder)))
    return found


def clean_rounds(home: Home, keep_days: float, clock: Callable[[], float] = time.time) -> list[OldRound]:
    """Remove the folders that may go, and what an earlier call left; return the rounds. One that is still used is kept.

    Raises:
        BadArtefact: the queue is damaged.
        Busy: another process is cleaning.
        OSError: a folder cannot be removed.
    """
    if not home.round_queue.exists():
        return []
    cleaned = []
    with locking.locked(home.rounds / ".cleaning.lock", f"Another process is cleaning {home.rounds}; wait until it is done."):
        for left in home.rounds.glob(f"*{REMOVED}"):
            shutil.rmtree(left)
        for old in find_old_rounds(home, keep_days, clock):
            with suppress(Busy):  # a process that lost the round may still be about to notice
                _remove(old.folder)
                cleaned.append(old)
    return cleaned


def _remove(folder: Path) -> None:
    gone = folder.with_name(f"{folder.name}{REMOVED}")
    with locking.locked(folder / ".lock", f"{folder} is used by another process.", wait=0):  # that of `Site.exclusively`
        folder.rename(gone)
    shutil.rmtree(gone)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
