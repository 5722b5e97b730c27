"""A thread beside the work: it keeps the lease, writes down how far the work is, and learns why the work has to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from c2lst_server.trainings.job_queue import Claimed, TrainingQueue
from c2lst_server.trainings.reporter import Reporter

log = logging.getLogger(__name__)

Why = Literal["cancel", "lost", "asked"]


class Lease:
    """Holds a training while the body runs."""

    def __init__(
        self,
        queue: TrainingQueue,
        claimed: Claimed,
        reporter: Reporter,
        *,
        asked: Callable[[], bool],
        seconds: float,
        every: float,
    ) -> None:
        self._queue, self._claimed, self._reporter, self._asked = queue, claimed, reporter, asked
        self._seconds, self._every = seconds, every
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

    def beat(self) -> None:
        """Keep the lease now, and write down how far the work is."""
        try:
            answer = self._queue.beat(self._claimed, self._seconds, self._reporter.report())
        except SQLAlchemyError:  # a full disk, for example: the folder's lock still keeps others away
            log.warning("The database could not be written.", exc_info=True)
        else:
            self._why = self._why or (None if answer == "go on" else answer)

    def __enter__(self) -> Lease:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self.beat()  # the last word, before the end is written down

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.beat()
