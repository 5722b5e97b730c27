"""A site with one slide that takes part in rounds, and the processes that work there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fakes.toy_job
from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.leases import Leases
from c2lst_client.rounds.policy import change_policy
from c2lst_client.rounds.queue_database import Job
from c2lst_client.sites import add_site
from c2lst_shared.wire import RoundOffer
from fakes.small_site import SmallSite

ROUND = "0123456789abcdef"
_WORKERS: list[subprocess.Popen[bytes]] = []
TOY_JOB = (sys.executable, fakes.toy_job.__file__)


def offer(round_id: str = ROUND, **changes: object) -> RoundOffer:
    """An offer that a toy site can finish in a moment: adaptation only."""
    values: dict[str, object] = {
        "round_id": round_id,
        "organ": "mob",
        "release": 1,
        "fraction": 0.5,
        "steps": 6,
        "evaluate": False,
        "cotrain": False,
        "hours": 1,
        "deadline": datetime.now(UTC) + timedelta(hours=1),
    }
    return RoundOffer.model_validate(values | changes)


class RoundSite:
    """A site in a folder; `mode` is its policy."""

    def __init__(self, folder: Path, mode: str = "auto", raw: SmallSite | None = None) -> None:
        self.home = Home(folder / "home")
        add_site(self.home, "demo", organ="mob", spots=(raw or SmallSite()).write_legacy(folder / "raw"))
        change_policy(self.home, {"mode": mode})

    @classmethod
    def with_h5ad(cls, folder: Path, raw: SmallSite) -> RoundSite:
        """A site whose spots are an `.h5ad` with an image beside it, which is named after `raw.name`."""
        site = cls.__new__(cls)
        site.home = Home(folder / "home")
        path = raw.write_h5ad(folder / "raw")
        add_site(site.home, "demo", organ="mob", spots=path, image=path.with_suffix(".png"), um_per_px=2.78)
        change_policy(site.home, {"mode": "auto"})
        return site

    @property
    def queue(self) -> JobQueue:
        return JobQueue(self.home.round_queue)

    @property
    def leases(self) -> Leases:
        return Leases(self.home.round_queue)

    @property
    def job(self) -> Job:
        (job,) = self.queue.all()
        return job

    def start_worker(self, *, pause: float = 0.0, lease: float = 3.0, once: bool = False) -> subprocess.Popen[bytes]:
        """Start `c2lst-client worker`, as good as."""
        code = (
            "import sys; from pathlib import Path; from c2lst_client.rounds.worker import supervise; "
            "from c2lst_client.settings import Settings; from c2lst_shared.stopping import stop_on_signal; "
            "import logging; logging.basicConfig(level=logging.INFO); "
            "from c2lst_client.rounds import failures; failures.RETRY_SECONDS = 2\n"
            "with stop_on_signal() as stop:\n"
            f"    supervise(Settings(home=Path({str(self.home.path)!r})), stop, once={once}, lease={lease}, pause=0.1, "
            f"command={TOY_JOB!r})"
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), fakes.toy_job.PAUSE: str(pause)}
        worker = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
        _WORKERS.append(worker)
        return worker

    def wait(self, until: Callable[[Job], bool], seconds: float = 90) -> Job:
        """Wait for the only round to be so."""
        end = time.monotonic() + seconds
        while not until(self.job):
            assert time.monotonic() < end, self.job
            time.sleep(0.02)
        return self.job

    def adapter_sha256(self, round_id: str = ROUND) -> str:
        return adapter_sha256(self.home.round(round_id) / "adapter")


def end_workers() -> None:
    """End what a test that failed left; each takes its process with it."""
    for worker in _WORKERS:
        worker.kill()
        worker.wait()
    _WORKERS.clear()


def adapter_sha256(folder: Path) -> str:
    """Of the trained weights."""
    return hashlib.sha256((folder / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


def job_processes(home: Home) -> list[int]:
    """The processes that work on rounds of this home now."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if fakes.toy_job.__file__ in words and str(home.path) in words:
            found.append(process.pid)
    return found
