"""Work spread over processes: results come in the order of the tasks, so that their number changes nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

MOST = 8  # by default; more seldom help, as disks are shared
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Task = TypeVar("Task")
Result = TypeVar("Result")


class Spread(Protocol):
    """Calls a function of a module on every task."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Return the results, in order; an error of a task is raised in its place."""


def default_workers() -> int:
    """Return how many processes prepare tiles when nothing is said."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST)


@contextmanager
def spread_over(workers: int) -> Iterator[Spread]:
    """Give a function that spreads work over `workers` processes; with one, over none but this."""
    if workers <= 1:
        yield lambda function, tasks: map(function, tasks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    former = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read by the processes at their start: the cores are shared already
    # A fork would copy the locks of torch's threads as they happen to be.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield lambda function, tasks: pool.map(function, tasks)
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in former.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_with_parent() -> None:
    """End this process when the one that started it is killed; it would wait for work for ever."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
