"""Why work has to stop: a thread beside it keeps the lease and looks at the queue, the policy, the clock and the supervisor."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Literal

from c2lst_client.home import Home
from c2lst_client.rounds.leases import Leases
from c2lst_client.rounds.policy import Policy, load_policy, may_run
from c2lst_client.rounds.queue_database import Job
from c2lst_shared.errors import C2lstError
from c2lst_shared.supervised import follow_supervisor

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
GRACE_SECONDS = 20.0  # for work to stop after its supervisor is gone; then the process ends at once

Why = Literal["asked", "orphan", "lost", "cancel", "deadline", "hours", "policy"]


class Watch:
    """Runs beside the work on one round."""

    def __init__(self, home: Home, leases: Leases, job: Job, owner: str, *, asked: Callable[[], bool], lease: float) -> None:
        self._home, self._leases, self._job, self._owner, self._asked, self._lease = home, leases, job, owner, asked, lease
        self._policy = load_policy(home)
        self._why: Why | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="lease")

    @property
    def why(self) -> Why | None:
        """Why the work has to stop; None = it may go on."""
        return self._why or ("asked" if self._asked() else None)

    def stop(self) -> bool:
        """Say whether the work has to stop."""
        return self.why is not None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(BEAT_SECONDS):
            now = time.monotonic()
            try:
                job = self._leases.beat(self._job.round_id, self._owner, now - before, self._lease)
            except sqlite3.OperationalError:  # a full disk, for example: the folder's lock still keeps others away
                log.warning("The queue could not be written.", exc_info=True)
                continue
            before = now
            self._why = self._why or self._reason(job)

    def _reason(self, job: Job | None) -> Why | None:
        if job is None or job.offer is None:
            return "lost"
        try:
            self._policy = load_policy(self._home)
        except (C2lstError, OSError):
            log.warning("The policy cannot be read; the one of before holds.")
        found: list[tuple[Why, bool]] = [
            ("cancel", job.cancel),
            ("deadline", time.time() >= job.deadline),
            ("hours", job.spent > 3600 * min(job.offer.hours, self._policy.max_hours)),
            ("policy", not allowed_now(self._policy)),
        ]
        return next((why for why, holds in found if holds), None)

    def follow(self, supervisor: int) -> None:
        """Stop when the supervisor is gone, which closes the other end of the pipe `supervisor`."""

        def gone() -> None:
            self._why = self._why or "orphan"

        follow_supervisor(supervisor, gone, grace=GRACE_SECONDS)


def allowed_now(policy: Policy) -> bool:
    """Say whether the policy lets work run at this moment."""
    return policy.mode != "never" and may_run(policy, datetime.now())
