"""The worker of a site, whose job is `slow_job`: `python -m fakes.slow_worker HOME`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from c2lst_client.rounds import failures
from c2lst_client.rounds.worker import supervise
from c2lst_client.settings import Settings
from c2lst_shared.stopping import stop_on_signal

if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    failures.RETRY_SECONDS = 5
    with stop_on_signal() as stop:
        supervise(Settings(home=Path(sys.argv[1])), stop, command=(sys.executable, "-m", "fakes.slow_job"))
