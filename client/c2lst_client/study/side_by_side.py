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
from functools import partial
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING

from c2lst_client.study.design import Division
from c2lst_client.study.making import make_division
from c2lst_shared.errors import C2lstError, Interrupted
from c2lst_shared.processes import cores, process_pool
from c2lst_shared.progress import Progress

if TYPE_CHECKING:
    from c2lst_client.study.workshop import Workshop

Opens = Callable[[Callable[[], bool]], "Workshop"]  # given what says whether to stop
SECONDS_BETWEEN_LOOKS = 0.5

_stopped: Event | None = None  # of this process, when it is one of those that make


def make_side_by_side(
    open_workshop: Opens, divisions: list[Division], jobs: int, *, progress: Progress, stop: Callable[[], bool]
) -> None:
    """Make adapters, pairs and predictors of the divisions in `jobs` processes, which share the cores.

    Args:
        open_workshop: called in each process, as it is: a function of a module, or a `partial` of one.
        divisions: of the study's design, those first that say most.
        jobs: how many at a time.
        progress: told of each division that is finished.
        stop: asked now and then; all processes save and end when it says so.

    Raises:
        C2lstError: what went wrong in one of them; the others are stopped, and what is finished is kept.
        Interrupted: stopped; the same call goes on.
    """
    stopped = multiprocessing.get_context("spawn").Event()
    threads = max(1, cores() // jobs)
    progress.start("making divisions", len(divisions))
    with process_pool(min(jobs, len(divisions)), threads=threads, begin=_begin, given=(stopped,)) as pool:
        made = {pool.submit(partial(_make, open_workshop), each): each for each in divisions}
        left = set(made)
        try:
            while left:
                done, left = wait(left, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
                if stop():
                    raise Interrupted("Stopped; everything that is finished is kept, the same command goes on.")
                for each in done:
                    each.result()
                    progress.advance(1, made[each].label)
        except BrokenProcessPool:
            raise C2lstError(
                "A process that made a division was killed, by the system for want of memory perhaps; "
                "run the same command with fewer --jobs, it goes on from what was saved."
            ) from None
        finally:
            stopped.set()


def _begin(stopped: Event) -> None:
    global _stopped  # an event can be inherited by a process, but not be sent with a task
    _stopped = stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides


def _make(open_workshop: Opens, division: Division) -> None:
    if _stopped is not None and not _stopped.is_set():
        make_division(open_workshop(_stopped.is_set), division)
