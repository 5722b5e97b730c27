"""Divisions of a study made side by side, by several processes.

Nothing is handed back: what each makes is kept by content, and the study, which goes through its divisions afterwards, finds
it.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event
from typing import NamedTuple

from c2lst_client.study.making import make_division
from c2lst_client.study.plan import work_of
from c2lst_client.study.workshop import Workshop
from c2lst_shared.errors import C2lstError, Interrupted
from c2lst_shared.processes import cores, process_pool
from c2lst_shared.progress import Progress

Opens = Callable[[Progress, Callable[[], bool]], Workshop]  # with where to say how far it is, and what says whether to stop
SECONDS_BETWEEN_LOOKS = 0.5


class _Shared(NamedTuple):
    """What all processes see: a process can inherit it, but it cannot be sent with a task."""

    stopped: Event
    done: SynchronizedArray[int]  # of each division, in the units of `Work.total`


_shared: _Shared | None = None  # of a process that makes divisions


def make_side_by_side(
    workshop: Workshop, open_workshop: Opens, jobs: int, *, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Make adapters, pairs and predictors of all divisions in `jobs` processes, which share the cores.

    Args:
        workshop: of the study.
        open_workshop: opens the same one in another process: a function of a module, or a `partial` of one.
        jobs: how many at a time.
        progress: told of all of them together.
        stop: asked now and then; all processes save and end when it says so.

    Raises:
        C2lstError: what went wrong in one of them; the others are stopped, and what is finished is kept.
        Interrupted: stopped; the same call goes on.
    """
    divisions = workshop.design.divisions
    totals = [work_of(workshop, each).total for each in divisions]
    spawn = multiprocessing.get_context("spawn")
    shared = _Shared(spawn.Event(), spawn.Array("q", len(divisions)))
    jobs = min(jobs, len(divisions))
    threads = max(1, cores() // jobs)
    progress.start(f"making {len(divisions)} divisions", sum(totals))
    with process_pool(jobs, threads=threads, begin=_begin, given=shared) as pool:
        left = {pool.submit(_make, open_workshop, number): number for number in range(len(divisions))}
        said, finished = 0, 0
        try:
            while left:
                done, _ = wait(left, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                if stop():
                    raise Interrupted("Stopped; everything that is finished is kept, the same command goes on.")
                for each in done:
                    each.result()
                    number = left.pop(each)
                    shared.done[number] = totals[number]  # what was there already was not counted
                    finished += 1
                now = sum(min(each, total) for each, total in zip(shared.done[:], totals, strict=True))
                if now > said or done:
                    progress.advance(now - said, f"{finished} finished")
                said = now
        except BrokenProcessPool:
            raise C2lstError(
                "A process that made a division was killed, by the system for want of memory perhaps; "
                "run the same command with fewer --jobs, it goes on from what was saved."
            ) from None
        finally:
            shared.stopped.set()


def _begin(stopped: Event, done: SynchronizedArray[int]) -> None:
    global _shared
    _shared = _Shared(stopped, done)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides


def _make(open_workshop: Opens, number: int) -> None:
    if _shared is not None and not _shared.stopped.is_set():
        workshop = open_workshop(_Counted(_shared.done, number), _shared.stopped.is_set)
        make_division(workshop, workshop.design.divisions[number])


class _Counted:
    """Progress of one division, where the process that started this one sees it."""

    def __init__(self, done: SynchronizedArray[int], number: int) -> None:
        self._done, self._number = done, number

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Count what an earlier run has done."""
        self.advance(done)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count."""
        self._done[self._number] += units
