"""The trainer: it claims one training at a time and gives it a process of its own, or several through a launcher.

What a process leaves behind when it is killed, or runs out of memory, is queued again and goes on from its checkpoint. A
trainer that is killed takes its processes with it (they read the closed pipe), and the next one takes the training up when
its lease has run out. Nothing heavy is imported here: between trainings it costs next to nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from c2lst_server.db.session import open_database
from c2lst_server.settings import Settings
from c2lst_server.trainings.job_queue import Claimed, TrainingQueue
from c2lst_server.trainings.pace import Pace
from c2lst_shared.errors import BadInput
from c2lst_shared.stopping import wait_unless
from c2lst_shared.supervised import close_input, run_supervised

log = logging.getLogger(__name__)

JOB = "c2lst_server.trainings.job"


class Event(BaseModel):
    """Something that a trainer did."""

    model_config = ConfigDict(frozen=True)

    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    training_id: str
    run: str
    what: Literal["began", "ended", "crashed"]
    code: int | None = None  # exit code of its process, or minus the signal

    def sentence(self) -> str:
        """Say it in one line."""
        how = {
            "began": "began",
            "ended": f"ended; c2lst-server trainings show {self.training_id} says how",
            "crashed": f"ended without a word ({self.code}); it goes on from its checkpoint, unless that repeats itself",
        }
        return f"Training {self.training_id} of run {self.run} {how[self.what]}."


def work(
    settings: Settings,
    stop: Callable[[], bool],
    *,
    once: bool = False,
    pace: Pace | None = None,
    report: Callable[[Event], None] = lambda _: None,
    module: str = JOB,
) -> int:
    """Work on trainings until asked to stop, and return how many were taken up.

    Args:
        once: return when nothing is left to be done now.
        pace: how often and how long.
        report: hears of each beginning and end.
        module: runs in the process of a training.

    Raises:
        BadInput: the home or the database is not initialised, or a setting is missing.
    """
    pace = pace or Pace()
    if settings.images_root is None:
        raise BadInput("A trainer needs to know where the images are; set C2LST_SERVER_IMAGES to the folder that holds them.")
    engine = open_database(settings)
    queue, taken = TrainingQueue(engine), 0
    try:
        while not stop():
            claimed = _claim(queue, pace)
            if claimed is not None:
                taken += 1
                _run(settings, queue, claimed, stop, pace, report, module)
            elif once:
                break
            else:
                wait_unless(stop, pace.look)
    finally:
        engine.dispose()
    return taken


def _claim(queue: TrainingQueue, pace: Pace) -> Claimed | None:
    owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        return queue.claim(owner, pace.lease)
    except SQLAlchemyError:
        log.exception("The database cannot be used now.")
        return None


def _run(
    settings: Settings,
    queue: TrainingQueue,
    claimed: Claimed,
    stop: Callable[[], bool],
    pace: Pace,
    report: Callable[[Event], None],
    module: str,
) -> None:
    """Start the process of a training and see it end."""
    told = False
    event = {"training_id": claimed.training_id, "run": claimed.plan.run or ""}
    report(Event(**event, what="began"))

    def beat() -> None:
        nonlocal told
        with suppress(SQLAlchemyError):
            told = told or queue.beat(claimed, pace.lease) != "go on"

    # The work learns by itself that it is to stop; it is told again here in case that it hangs, and then ended.
    code = run_supervised(
        command(settings, claimed, pace, module),
        beat=beat,
        every=pace.lease / 3,
        stop=lambda: stop() or told,
        grace=pace.grace,
        ask=close_input,
        environment=environment(settings),
    )
    try:
        if queue.find(claimed.training_id, claimed.owner) is None:
            report(Event(**event, what="ended", code=code))
        elif stop() or told:
            queue.put_back(claimed)
            report(Event(**event, what="ended", code=code))
        else:
            queue.crashed(claimed, wait=pace.retry)
            report(Event(**event, what="crashed", code=code))
    except SQLAlchemyError:
        log.exception("The database cannot be written; the training is taken up when its lease has run out.")


def command(settings: Settings, claimed: Claimed, pace: Pace, module: str = JOB) -> list[str]:
    """Return what starts the processes of a training."""
    launcher = shlex.split(settings.trainer_launcher or "")
    start = [*launcher, "--module", module] if launcher else [sys.executable, "-m", module]
    return [*start, str(settings.folders.path), claimed.training_id, claimed.owner, pace.model_dump_json()]


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of these processes: this one's, in which the launcher beside this Python is found first."""
    values = dict(os.environ)
    values["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), values.get("PATH", os.defpath)])
    if settings.database_url is not None:
        values["C2LST_SERVER_DATABASE_URL"] = settings.database_url
    if settings.images_root is not None:
        values["C2LST_SERVER_IMAGES"] = str(settings.images_root)
    return values
