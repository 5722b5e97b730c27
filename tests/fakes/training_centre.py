"""A central service with images that may be trained on, and real trainers of toy trainings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from c2lst_server.settings import Settings
from c2lst_server.tiles.build import build_corpus, origin_of
from c2lst_server.trainings import store
from c2lst_server.trainings.pace import Pace
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.store import TrainingView
from c2lst_shared.progress import Silent
from fakes.central import Central
from fakes.small_site import SmallSite, h_and_e
from fakes.toy_training import MODULE, PAUSE, TOY

PACE = Pace(look=0.1, lease=6, beat=0.2, grace=60, busy=0.5, retry=0.1)


def write_images(folder: Path) -> Path:
    """Three slides."""
    folder.mkdir(parents=True)
    for seed in range(3):
        SmallSite(pixels=h_and_e(seed), name=f"slide{seed}").write_image(folder)
    return folder


def write_corpus(images: Path, out: Path) -> Path:
    """The corpus of these slides for the toy preset."""
    origin = origin_of(
        images,
        backbone=TOY.backbone,
        organ="mob",
        um_per_px=2.75,
        overlap=0.5,
        min_tissue=0.5,
        quality_filter=True,
        seed=0,
    )
    build_corpus(origin, out, workers=1, progress=Silent())
    return out


class TrainingCentre:
    """A centre whose folder of images holds what `images` holds; in `database`, or in SQLite."""

    def __init__(self, central: Central, images: Path, database: str | None = None) -> None:
        self.central = central
        url = database or central.settings.database_url
        self.settings: Settings = central.settings.model_copy(update={"images": images, "database_url": url})
        self._trainers: list[subprocess.Popen[bytes]] = []

    def queue(self, run: str, **changes: object) -> TrainingView:
        """Queue a toy training."""
        plan = TrainingPlan.model_validate({"organ": "mob", "images": "corpus", "preset": "toy", "run": run} | changes)
        with self.central.session() as session:
            return store.queue(session, self.settings, plan)

    def show(self, run: str) -> TrainingView:
        """How it stands."""
        with self.central.session() as session:
            return store.show(session, run)

    def start_trainer(
        self, *, pause: float = 0.0, once: bool = False, pace: Pace = PACE, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `c2lst-server trainer`, as good as."""
        words = [sys.executable, "-m", MODULE, "trainer", str(self.settings.folders.path), pace.model_dump_json()]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
            "C2LST_SERVER_DATABASE_URL": self.settings.database,
            "C2LST_SERVER_IMAGES": str(self.settings.images_root),
            PAUSE: str(pause),
        }
        trainer = subprocess.Popen(
            [*words, *(["once"] if once else [])],
            env=environment | dict(more or {}),
            start_new_session=True,
        )
        self._trainers.append(trainer)
        return trainer

    def wait(self, run: str, until: Callable[[TrainingView], bool], seconds: float = 400) -> TrainingView:
        """Wait for a training to be so."""
        end = time.monotonic() + seconds
        while not until(view := self.show(run)):
            assert time.monotonic() < end, view
            time.sleep(0.05)
        return view

    def jobs(self, run: str | None = None) -> list[int]:
        """The processes that work on this training, or on any."""
        word = self.show(run).training_id if run else str(self.settings.folders.path)
        found = []
        for process in psutil.process_iter(["pid", "cmdline", "status"]):
            words = process.info["cmdline"] or []
            if MODULE in words and word in words and "trainer" not in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["pid"])
        return found

    def losses(self, run: str) -> dict[str, object]:
        """What the run recorded."""
        content: dict[str, object] = json.loads((self.settings.folders.run(run) / "losses.json").read_text())
        return content

    def end(self) -> None:
        """End what a test that failed left; each trainer takes its process with it."""
        for trainer in self._trainers:
            trainer.kill()
            trainer.wait()
