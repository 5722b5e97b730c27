"""Work spread over processes: results come in the order of the tasks, so that their number changes nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

MOST = 8  # by default; more seldom help, as disks are shared
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Task = TypeVar("Task")
Result = TypeVar("Result")


class Spread(Protocol):
    """Calls a function of a module on every task."""

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Return the results, in order; an error of a task is raised in its place."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return how many processes prepare tiles when nothing is said."""
    return min(cores(), MOST)


@contextmanager
def spread_over(workers: int) -> Iterator[Spread]:
    """Give a function that spreads work over `workers` processes; with one, over none but this."""
    if workers <= 1:
        yield lambda function, tasks: map(function, tasks)
        return
    with process_pool(workers) as pool:
        yield lambda function, tasks: pool.map(function, tasks)


@contextmanager
def process_pool(
    workers: int, *, threads: int = 1, begin: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Keep `workers` processes of so many `threads` each for the body; none of them outlives this one.

    Each calls `begin` with what is `given` before its first task: a function of a module, and what processes can inherit.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    former = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))  # read by the processes at their start, to share the cores
    # A fork would copy the locks of torch's threads as they happen to be.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=(begin, given))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in former.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    _end_with_parent()
    if begin is not None:
        begin(*given)


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
