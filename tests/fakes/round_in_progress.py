"""A round of one site that is in mid-adaptation over the real transport, as the centre and the site see it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy.orm import Session

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import Job, JobQueue
from c2lst_server.db.session import open_database
from c2lst_server.rounds import store
from c2lst_server.rounds.store import SiteView
from c2lst_server.settings import Settings
from fakes.federation import Federation, wait_for

JOB = "fakes.slow_job"


@dataclass
class RoundInProgress:
    """Looks at a round, and waits for what is to become of it."""

    federation: Federation
    round_id: str
    steps: int  # of the adaptation
    site: str = "a"
    furthest: int = 0  # step that was ever seen
    took: dict[str, float] = field(default_factory=dict)  # seconds until the centre heard of the work again, by fault

    @property
    def home(self) -> Home:
        return Home(self.federation.site(self.site))

    @property
    def job(self) -> Job:
        """The site's only round, in its queue."""
        (job,) = JobQueue(self.home.round_queue).all()
        return job

    @property
    def step(self) -> int:
        """Of the adaptation, if it runs; what was done before a disturbance is not done anew, but for a few steps."""
        job = self.job
        if job.state != "running" or job.stage != "adapt" or job.step is None:
            return 0
        assert job.step > self.furthest - 5, f"step {job.step} after {self.furthest}: work is done twice"
        self.furthest = max(self.furthest, job.step)
        return job.step

    def at_centre(self) -> SiteView:
        """What the centre knows of it, in its database."""
        engine = open_database(Settings(home=self.federation.centre))
        try:
            with Session(engine) as session:
                return store.show(session, self.round_id).sites[0]
        finally:
            engine.dispose()

    def processes(self) -> list[psutil.Process]:
        """The processes that work on it."""
        return [process for process in mentioning(self.home.path) if JOB in process.cmdline()]

    def process(self) -> psutil.Process:
        """The one process that works on it."""
        [found] = wait_for(self.processes, 60, "a process works on the round")
        return found

    def in_mid_adaptation(self) -> None:
        """Wait until the work is there, with more of it ahead."""
        wait_for(lambda: self.step > 0, 120, "the adaptation has begun")
        assert self.furthest < self.steps - 50, "the adaptation is nearly over"

    def goes_on(self, fault: str, began: float, seconds: float) -> None:
        """Wait until the work is further than before, and the centre has heard of that from the site.

        Args:
            fault: what happened.
            began: since when it could go on.
            seconds: after which it is too late.
        """
        before, since = self.furthest, datetime.fromtimestamp(began, UTC)

        def heard() -> bool:
            found = self.at_centre()
            return found.answered is not None and found.answered > since and found.state == "running"

        wait_for(lambda: self.step > before, seconds, f"{fault}: the work goes on")
        wait_for(heard, max(began + seconds - time.time(), 1), f"{fault}: the centre hears of it")
        assert self.at_centre().unreachable_since is None
        assert len(self.processes()) == 1
        self.took[fault] = time.time() - began


def mentioning(folder: Path) -> list[psutil.Process]:
    """The processes whose command names something in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


def back_up(folder: Path, to: Path) -> None:
    """Copy a folder while it is in use, databases as SQLite copies them."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*.sqlite3*"))
    for database in folder.rglob("*.sqlite3"):
        copy = to / database.relative_to(folder)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        copy.chmod(database.stat().st_mode)


def restore(backup: Path, folder: Path) -> None:
    """Put a folder back to what was copied."""
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
