"""What a site tells its own Prometheus, on loopback and only when asked: how link, work and disk are.

Counts, ages and steps; no name, no path, no identifier of a round. All of it is read from the state folder when Prometheus
asks, so that it holds for every process that works there; what the supervisor knows of its processes comes beside it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.queue_database import Job
from c2lst_shared.metrics_listener import MetricsPlace, serving_metrics
from c2lst_shared.wire import SiteState, Stage

KEPT_SECONDS = 2.0
LINKED_SECONDS = 90.0  # after the last answer the link counts as lost; an idle SuperNode asks several times a minute

Starts = Callable[[], Mapping[str, tuple[bool, int]]]  # process -> whether it runs, and how often it was started


@contextmanager
def serving_site_metrics(place: MetricsPlace | None, home: Home, starts: Starts = dict) -> Iterator[None]:
    """Serve the metrics of `home` while the body runs; nothing at all without a place.

    Raises:
        BadInput: the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(SiteMetrics(home, starts))
    with serving_metrics(place, registry):
        yield


class SiteMetrics(Collector):
    """Reads the state folder of one site."""

    def __init__(self, home: Home, starts: Starts = dict, clock: Callable[[], float] = time.time) -> None:
        self._home, self._starts, self._clock = home, starts, clock
        self._lock = threading.Lock()
        self._found: list[GaugeMetricFamily | CounterMetricFamily] = []
        self._until = 0.0

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand, so that registering reads nothing."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Return what was read a moment ago."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._read()
                self._until = time.monotonic() + KEPT_SECONDS
            return self._found

    def _read(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        readable = _gauge("state_readable", "Whether this part of the state folder can be read.", "part")
        found: list[GaugeMetricFamily | CounterMetricFamily] = [readable]
        parts: dict[str, Callable[[], Iterator[GaugeMetricFamily | CounterMetricFamily]]] = {
            "processes": self._processes,
            "link": self._link,
            "queue": self._jobs,
            "folders": self._folders,
            "disk": self._disk,
        }
        for part, read in parts.items():
            try:
                found += list(read())
            except Exception:  # whatever it is: `c2lst-client doctor` says what
                readable.add_metric([part], 0)
            else:
                readable.add_metric([part], 1)
        return found

    def _processes(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        up = _gauge("process_up", "Whether a process of `join` runs.", "process")
        starts = CounterMetricFamily("c2lst_client_process_starts", "How often it was started.", labels=["process"])
        for name, (running, count) in self._starts().items():
            up.add_metric([name], float(running))
            starts.add_metric([name], count)
        yield up
        yield starts

    def _link(self) -> Iterator[GaugeMetricFamily]:
        """The age of the last answer of the centre; both figures are 0 when there never was one."""
        contact = self._home.contact
        last = contact.stat().st_mtime if contact.exists() else 0.0
        yield _single("last_contact_timestamp_seconds", "When the centre last answered, in seconds since 1970.", last)
        linked = 0 <= self._clock() - last < LINKED_SECONDS
        yield _single("linked", f"Whether the centre answered in the last {LINKED_SECONDS:.0f} seconds.", float(linked))

    def _jobs(self) -> Iterator[GaugeMetricFamily]:
        queue = self._home.round_queue
        jobs = JobQueue(queue, self._clock).all() if queue.exists() else []  # nothing is made by looking
        states = Counter(job.state for job in jobs)
        counted = _gauge("jobs", "Rounds that were offered, by state.", "state")
        for state in get_args(SiteState):
            counted.add_metric([state], states[state])
        yield counted
        running = next((job for job in jobs if job.state == "running"), None)
        yield from _work(running)

    def _folders(self) -> Iterator[GaugeMetricFamily]:
        adapters = _gauge("adapters", "Adapters that are kept, made by hand for a slide or in a round.", "made")
        for made, folder in (("slide", "sites"), ("round", "rounds")):
            adapters.add_metric([made], _count(self._home.path / folder, "*/adapter/record.json"))
        yield adapters
        yield _single("releases", "Releases that are here.", _count(self._home.releases, "*/[0-9]*"))

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        yield _single(
            "disk_free_bytes", "Bytes that are free on the disk of the state folder.", shutil.disk_usage(self._home.path).free
        )


def _work(job: Job | None) -> Iterator[GaugeMetricFamily]:
    stages = _gauge("stage", "1 at the stage of the round that is worked on.", "stage")
    for stage in get_args(Stage):
        stages.add_metric([stage], float(job is not None and job.stage == stage))
    yield stages
    yield _single("step", "How many steps of that stage are done.", (job.step or 0) if job else 0)
    yield _single("steps", "How many steps it has.", (job.steps or 0) if job else 0)
    yield _single("work_seconds", "Seconds of work on that round so far.", job.spent if job else 0.0)


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern)) if folder.exists() else 0


def _gauge(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"c2lst_client_{name}", text, labels=[label])


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"c2lst_client_{name}", text, value=value)
