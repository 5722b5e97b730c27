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
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from c2lst_client.rounds.cleaning import clean_rounds
from c2lst_client.rounds.failures import wait_after
from c2lst_client.rounds.leases import LEASE_SECONDS, Leases
from c2lst_client.rounds.policy import load_policy
from c2lst_client.rounds.queue_database import Job
from c2lst_client.rounds.watch import allowed_now
from c2lst_client.settings import Settings
from c2lst_shared.errors import C2lstError
from c2lst_shared.logs import LogFormat, in_round, write_logs
from c2lst_shared.stopping import stop_on_signal, wait_unless
from c2lst_shared.supervised import run_supervised

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0  # between two looks at the queue
CLEAN_SECONDS = 3600.0  # between two looks for old rounds
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
    leases = Leases(settings.folders.round_queue)
    taken, clean_at = 0, time.monotonic()
    while not stop():
        if time.monotonic() >= clean_at:
            _clean(settings)
            clean_at = time.monotonic() + CLEAN_SECONDS
        try:
            job, owner = _next(settings, leases, lease)
        except (C2lstError, sqlite3.Error, OSError):
            log.exception("The queue cannot be used now.")
            job, owner = None, ""
        if job is not None:
            taken += 1
            with in_round(job.round_id):
                _run(settings, leases, job, owner, stop, lease, command)
        elif once:
            break
        else:
            wait_unless(stop, pause)
    return taken


def _clean(settings: Settings) -> None:
    """Remove the folders of rounds that have been over for longer than the policy keeps them."""
    home = settings.folders
    try:
        for old in clean_rounds(home, load_policy(home).keep_rounds_days):
            log.info("Removed the folder of round %s, %s %.0f days ago.", old.job.round_id, old.job.state, old.days)
    except (C2lstError, sqlite3.Error, OSError):
        log.exception("Old rounds cannot be cleaned now.")


def _next(settings: Settings, leases: Leases, lease: float) -> tuple[Job | None, str]:
    owner = f"{os.getpid()}-{secrets.token_hex(8)}"
    if not allowed_now(load_policy(settings.folders)):
        return None, owner
    return leases.claim(owner, lease), owner


def _run(
    settings: Settings,
    leases: Leases,
    job: Job,
    owner: str,
    stop: Callable[[], bool],
    lease: float,
    command: Sequence[str],
) -> None:
    """Start the process of a round and see it end."""
    log.info("Round %s begins.", job.round_id)
    words = [*command, str(settings.folders.path), job.round_id, owner, str(lease)]

    def beat() -> None:
        with suppress(sqlite3.OperationalError):
            leases.beat(job.round_id, owner, 0, lease)

    code = run_supervised(words, beat=beat, every=lease / 3, stop=stop, grace=GRACE_SECONDS)
    try:
        if code:
            log.warning("The process of round %s ended with %s.", job.round_id, code)
            leases.crashed(job.round_id, owner)
        else:
            # one that could not write down how it ended did not crash; for all others this changes nothing
            leases.put_back(job.round_id, owner, "disk", wait=wait_after("disk"))
            log.info("Round %s ended.", job.round_id)
    except sqlite3.Error:
        log.exception("The queue cannot be written; the round is taken up when its lease has run out.")


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
