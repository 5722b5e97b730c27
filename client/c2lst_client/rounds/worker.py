"""The supervisor of the site's work in rounds: it claims one round at a time and gives it a process of its own.

What a process leaves behind when it is killed, or runs out of memory, is queued again. A supervisor that is killed takes its
process with it (that reads the closed pipe), and the next one takes the round up when its lease has run out. Nothing heavy is
imported here: between rounds the worker costs next to nothing.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from c2lst_client.rounds.failures import wait_after
from c2lst_client.rounds.job_queue import LEASE_SECONDS, Job, JobQueue
from c2lst_client.rounds.policy import load_policy
from c2lst_client.rounds.watch import allowed_now
from c2lst_client.settings import Settings
from c2lst_shared.errors import C2lstError
from c2lst_shared.logs import LogFormat, in_round, write_logs
from c2lst_shared.stopping import stop_on_signal

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0  # between two looks at the queue
GRACE_SECONDS = 120.0  # for a process to save and end
JOB = (sys.executable, "-m", "c2lst_client.rounds.job")


def job_command(style: LogFormat) -> tuple[str, ...]:
    """Return what starts the process of a round that writes its log in `style`."""
    return (*JOB, *(("--log-format", style.value) if style != LogFormat.TEXT else ()))


def supervise(
    settings: Settings,
    stop: Callable[[], bool],
    *,
    once: bool = False,
    lease: float = LEASE_SECONDS,
    pause: float = PAUSE_SECONDS,
    command: Sequence[str] = JOB,
) -> int:
    """Work on rounds until asked to stop, and return how many were taken up.

    Args:
        once: return when nothing is left to be done now.
        lease: seconds after which a round whose process is silent is taken up by another.
        command: starts the process that works on a round.
    """
    queue = JobQueue(settings.folders.round_queue)
    taken = 0
    while not stop():
        try:
            job, owner = _next(settings, queue, lease)
        except (C2lstError, sqlite3.Error, OSError):
            log.exception("The queue cannot be used now.")
            job, owner = None, ""
        if job is not None:
            taken += 1
            _run(settings, queue, job, owner, stop, lease, command)
        elif once:
            break
        else:
            _wait(pause, stop)
    return taken


def _next(settings: Settings, queue: JobQueue, lease: float) -> tuple[Job | None, str]:
    owner = f"{os.getpid()}-{secrets.token_hex(8)}"
    if not allowed_now(load_policy(settings.folders)):
        return None, owner
    return queue.claim(owner, lease), owner


def _run(
    settings: Settings,
    queue: JobQueue,
    job: Job,
    owner: str,
    stop: Callable[[], bool],
    lease: float,
    command: Sequence[str],
) -> None:
    """Start the process of a round and see it end."""
    with in_round(job.round_id):
        _see_through(settings, queue, job, owner, stop, lease, command)


def _see_through(
    settings: Settings,
    queue: JobQueue,
    job: Job,
    owner: str,
    stop: Callable[[], bool],
    lease: float,
    command: Sequence[str],
) -> None:
    log.info("Round %s begins.", job.round_id)
    words = [*command, str(settings.folders.path), job.round_id, owner, str(lease)]
    # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True) as process:
        asked: float | None = None
        beaten = time.monotonic()
        while process.poll() is None:
            if time.monotonic() - beaten > lease / 3:  # also while the process still imports, and whatever it hangs in
                beaten = time.monotonic()
                with suppress(sqlite3.OperationalError):
                    queue.beat(job.round_id, owner, 0, lease)
            if stop() and asked is None:
                process.terminate()
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > GRACE_SECONDS:
                process.kill()
            time.sleep(0.1)
    try:
        if process.returncode:
            log.warning("The process of round %s ended with %s.", job.round_id, process.returncode)
            queue.crashed(job.round_id, owner)
        else:
            # one that could not write down how it ended did not crash; for all others this changes nothing
            queue.put_back(job.round_id, owner, "disk", wait=wait_after("disk"))
            log.info("Round %s ended.", job.round_id)
    except sqlite3.Error:
        log.exception("The queue cannot be written; the round is taken up when its lease has run out.")


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop():
        time.sleep(min(0.1, seconds))


def main() -> None:
    """Work until told to stop; the state folder is given by --home."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--log-format", type=LogFormat, default=LogFormat.TEXT)
    arguments = parser.parse_args()
    home, style = arguments.home, arguments.log_format
    write_logs(style, plain_errors=True)
    with stop_on_signal() as stop:
        supervise(Settings() if home is None else Settings(home=home), stop, command=job_command(style))


if __name__ == "__main__":
    main()
