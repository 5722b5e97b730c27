"""A round's process with the toy release: `toy_job.py HOME ROUND OWNER LEASE`, slow enough to be disturbed."""

from __future__ import annotations

import os
import sys
import time

from c2lst_client.journey import Journey
from c2lst_client.release import LoadedRelease
from c2lst_client.rounds import failures
from c2lst_client.rounds.job import main
from fakes.toy_release import toy_release

PAUSE = "C2LST_TOY_PAUSE"  # seconds after each step


class ToyJourney(Journey):
    """A journey that starts from a release in memory and takes its time; neither changes what comes of it."""

    def __init__(self, settings, site, *, progress, stop) -> None:
        def slowly() -> bool:
            time.sleep(float(os.environ.get(PAUSE, "0")))
            return stop()

        super().__init__(settings, site, progress=progress, stop=slowly)

    def release(self, name: str | None) -> LoadedRelease:
        return toy_release()


if __name__ == "__main__":
    failures.RETRY_SECONDS = 2
    sys.exit(main(sys.argv[1:], ToyJourney))
