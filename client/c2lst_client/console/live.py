"""When something that pages show has changed: a text that then differs, from a few small reads."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst_client.console.checkup import Checkup
from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_shared.flower.heartbeat import take_pulse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MADE = ("site.json", "adapter/record.json", "*/result.json", "*/patches.h5", "report.html", "study/study.html")


async def events(request: Request) -> Response:
    """Answer a page that wants to hear of changes."""
    answer: Response = request.app.state.console.changes.answer()
    return answer


def what_pages_show(home: Home, checkup: Checkup) -> str:
    """Return the digest of what is behind the pages now."""
    pulse = take_pulse(home.join_processes, "join")
    seen = [
        JobQueue(home.round_queue).state(),
        repr((pulse.fault is None, pulse.began)),
        repr((checkup.runs, checkup.last and checkup.last.ended)),
        str(int(time.time() // 60)),  # ages and expiries are told to the minute
        *_stamps(home.policy, home.audit_log, home.enrolment, home.metadata, home.releases, home.quarantine),
        *(stamp for pattern in MADE for path in sorted(home.path.glob(f"sites/*/{pattern}")) for stamp in _stamps(path)),
    ]
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()[:16]


def _stamps(*paths: Path) -> Iterator[str]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            yield "-"
        else:
            yield f"{found.st_mtime_ns} {found.st_size}"
