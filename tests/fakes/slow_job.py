"""A round's process, slow for as long as the file `slow` lies in the site's home; it changes nothing of what comes out.

`python -m fakes.slow_job HOME ROUND OWNER LEASE`
"""

from __future__ import annotations

import sys
import time

from c2lst_client.journey import Journey
from c2lst_client.rounds import failures
from c2lst_client.rounds.job import main

BRAKE = "slow"
STEP_SECONDS = 2.0


class SlowJourney(Journey):
    """A journey that pauses after each step while it is braked."""

    def __init__(self, settings, site, *, progress, stop) -> None:
        brake = settings.folders.path / BRAKE

        def slowly() -> bool:
            if brake.exists():
                time.sleep(STEP_SECONDS)
            return stop()

        super().__init__(settings, site, progress=progress, stop=slowly)


if __name__ == "__main__":
    failures.RETRY_SECONDS = 5
    sys.exit(main(sys.argv[1:], SlowJourney))
