"""What rests in the database, the signed repository and on the disk, read when Prometheus asks: it holds for all processes.

Counts and seconds only: no name of a site, no identifier of a round. An answer is kept for some seconds, so that nobody can
keep the database busy by asking. A part that cannot be read is said to be so, and its figures are left out.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from c2lst_server.db.models import Round, RoundSite, Site
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_catalogue, reading
from c2lst_server.readiness import Check, examine
from c2lst_server.runs import load_run, run_ids
from c2lst_server.status import read_expiry
from c2lst_server.trainings.queue_figures import read_queue
from c2lst_shared.wire import TERMINAL

KEPT_SECONDS = 5.0
LATE = "late"  # a site that had not ended at the deadline


class StateMetrics(Collector):
    """Reads the state of one deployment.

    Args:
        home: its state folder.
        engine: its database.
        checks: of readiness.
        clock: says when it is.
    """

    def __init__(
        self, home: Home, engine: Engine, checks: dict[str, Check], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._home, self._engine, self._checks, self._clock = home, engine, checks, clock
        self._lock = threading.Lock()
        self._found: list[GaugeMetricFamily] = []
        self._until = 0.0

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand, so that registering reads nothing."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return what was read less than some seconds ago."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._read()
                self._until = time.monotonic() + KEPT_SECONDS
            return self._found

    def _read(self) -> list[GaugeMetricFamily]:
        readable = _gauge("state_readable", "Whether this part of the state can be read.", "part")
        found = [readable]
        parts: dict[str, Callable[[], Iterator[GaugeMetricFamily]]] = {
            "database": self._database,
            "metadata": self._metadata,
            "releases": self._releases,
            "trainings": self._trainings,
            "runs": self._runs,
            "disk": self._disk,
        }
        for part, read in parts.items():
            try:
                found += list(read())
            except Exception:  # whatever it is: readiness and the log say what
                readable.add_metric([part], 0)
            else:
                readable.add_metric([part], 1)
        faults = examine(self._checks)
        ready = _gauge("ready", "Whether the service is fit to be sent sites, by check.", "check")
        for name in self._checks:
            ready.add_metric([name], float(name not in faults))
        return [*found, ready]

    def _database(self) -> Iterator[GaugeMetricFamily]:
        now = self._clock()
        with Session(self._engine) as session:
            sites = _gauge("sites", "Sites by state.", "state")
            for state, count in session.execute(select(Site.state, func.count()).group_by(Site.state)):
                sites.add_metric([state], count)
            yield sites
            yield _counted("rounds", "Rounds by state.", _round_states(session))
            text = "Sites of all rounds by state; late is one that had no result by the deadline."
            yield _counted("round_sites", text, _site_states(session))
            silent = list(
                session.scalars(
                    select(RoundSite.unreachable_since)
                    .join(Round)
                    .where(Round.closed.is_(None), RoundSite.state.not_in(TERMINAL), RoundSite.unreachable_since.is_not(None))
                )
            )
        yield _single("silent_sites", "Sites of open rounds that cannot be reached now.", len(silent))
        longest = max(((now - since).total_seconds() for since in silent if since is not None), default=0.0)
        yield _single("longest_silence_seconds", "For how long the one that is silent longest has been so.", longest)

    def _metadata(self) -> Iterator[GaugeMetricFamily]:
        now = self._clock()
        expiry = _gauge("role_expiry_seconds", "Seconds until sites refuse what a role of TUF signed.", "role")
        for role, expires in read_expiry(reading(self._home)).items():
            expiry.add_metric([role], (expires - now).total_seconds())
        yield expiry

    def _releases(self) -> Iterator[GaugeMetricFamily]:
        organs = Counter(release.organ for release in read_catalogue(self._home).releases)
        yield _counted("releases", "Releases that sites are offered, by organ.", organs, by="organ")

    def _trainings(self) -> Iterator[GaugeMetricFamily]:
        with Session(self._engine) as session:
            found = read_queue(session, self._clock())
        text = "Trainings of the queue by state; stalled is one whose trainer is silent."
        yield _counted("trainings", text, found.states)
        text = "For how long the oldest training that waits could have been taken up by a trainer."
        yield _single("longest_training_wait_seconds", text, found.longest_wait)
        text = "How old the last heartbeat of a training that is worked on is, where it is oldest."
        yield _single("longest_training_silence_seconds", text, found.longest_silence)

    def _runs(self) -> Iterator[GaugeMetricFamily]:
        states: Counter[str] = Counter(load_run(self._home, run_id).state for run_id in run_ids(self._home))
        yield _counted("runs", "Records of training runs on disk by state, those by hand among them.", states)

    def _disk(self) -> Iterator[GaugeMetricFamily]:
        disk = shutil.disk_usage(self._home.path)
        yield _single("disk_free_bytes", "Bytes that are free on the disk of the home.", disk.free)
        yield _single("disk_bytes", "Bytes of that disk.", disk.total)


def _round_states(session: Session) -> Counter[str]:
    found: Counter[str] = Counter()
    for cancelled, closed in session.execute(select(Round.cancelled, Round.closed)):
        over, running = ("finished", "open") if cancelled is None else ("cancelled", "cancelling")
        found[running if closed is None else over] += 1
    return found


def _site_states(session: Session) -> Counter[str]:
    found: Counter[str] = Counter()
    for state, error, count in session.execute(
        select(RoundSite.state, RoundSite.error, func.count()).group_by(RoundSite.state, RoundSite.error)
    ):
        found[LATE if error == "deadline" and state not in TERMINAL else state] += count
    return found


def _gauge(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"c2lst_server_{name}", text, labels=[label])


def _single(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"c2lst_server_{name}", text, value=value)


def _counted(name: str, text: str, counts: Counter[str], *, by: str = "state") -> GaugeMetricFamily:
    family = _gauge(name, text, by)
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
