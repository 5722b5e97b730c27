"""How often and how long, in seconds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from c2lst_server.trainings.job_queue import LEASE_SECONDS
from c2lst_shared.wire import ErrorCode


class Pace(BaseModel):
    """Of a trainer and of the processes that it starts, which get it with their arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    look: float = 2.0  # between two looks at an empty queue
    lease: float = LEASE_SECONDS  # after which a training whose trainer is silent is taken up by another
    beat: float = 2.0  # between two reports of how far the work is
    grace: float = 120.0  # for work to save and stop; then it is ended
    busy: float = 5.0  # until a run's folder that another process holds is tried again
    retry: float = 30.0  # until work is tried again that crashed, or that the disk or the network stopped

    def wait_after(self, error: ErrorCode) -> float:
        """Return after how long work that failed so is tried again."""
        return self.busy if error == "busy" else self.retry
