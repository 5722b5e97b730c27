"""Is the service fit to be sent sites? The database answers, signed metadata is valid, and the disk takes more.

Asking costs little however often it is done: answers are kept for a second, one look is under way at a time, and a look that
hangs is not waited for. What is wrong goes to the log when it changes; strangers learn only whether something is.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import Engine

from c2lst_server.db.session import check_current
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import reading
from c2lst_server.settings import Settings
from c2lst_shared.errors import C2lstError

log = logging.getLogger("uvicorn.error")

KEPT_SECONDS = 1.0
LONGEST_SECONDS = 3.0  # of a look, after which the service counts as not ready

Check = Callable[[], None]  # raises what says why not


class NotFit(C2lstError):
    """Something that the service needs is not there."""


class Readiness:
    """What `checks` say, asked about once a second at most."""

    def __init__(self, checks: Mapping[str, Check], *, kept: float = KEPT_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._checks, self._kept, self._longest = checks, kept, longest
        self._looking: asyncio.Task[dict[str, str]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._running: asyncio.Future[dict[str, str]] | None = None  # what the thread does; one that hangs gets no successor
        self._found: dict[str, str] = {}  # check -> what is wrong
        self._until = 0.0

    async def faults(self) -> dict[str, str]:
        """Return what is wrong by the names of the checks; empty when the service is ready."""
        if time.monotonic() < self._until:
            return self._found
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    def close(self) -> None:
        """End the thread; a look that hangs is left to itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> dict[str, str]:
        if self._running is None:
            self._running = asyncio.get_running_loop().run_in_executor(self._thread, examine, self._checks)
        done, _ = await asyncio.wait([self._running], timeout=self._longest)
        if done:
            found, self._running = self._running.result(), None
        else:
            found = {"time": f"the look at database, metadata and disk takes more than {self._longest:g} s"}
        if set(found) != set(self._found):
            self._say(found)
        self._found, self._until = found, time.monotonic() + self._kept
        return found

    def _say(self, found: Mapping[str, str]) -> None:
        if found:
            log.error("Not ready: %s.", "; ".join(f"{name}: {why}" for name, why in found.items()))
        else:
            log.info("Ready again.")


def examine(checks: Mapping[str, Check]) -> dict[str, str]:
    """Make every check and return what is wrong."""
    found = {}
    for name, check in checks.items():
        try:
            check()
        except Exception as error:  # whatever it is, the service lacks something
            found[name] = str(error) if isinstance(error, C2lstError) else f"{type(error).__name__}: {error}"
    return found


def readiness_checks(
    settings: Settings, engine: Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dict[str, Check]:
    """Return the checks of one deployment."""
    home = settings.folders
    return {
        "database": lambda: check_current(engine),
        "metadata": lambda: check_metadata(home, clock()),
        "disk": lambda: check_disk(home, settings.least_free),
    }


def check_metadata(home: Home, now: datetime) -> None:
    """Check that sites would take what is served for fresh.

    Raises:
        BadArtefact: the timestamp or the snapshot that it names cannot be read.
        NotFit: the timestamp has expired.
    """
    repository = reading(home)
    expires = repository.timestamp().expires
    repository.snapshot()
    if expires <= now:
        raise NotFit(f"the timestamp expired at {expires:%Y-%m-%d %H:%M} UTC and could not be signed again")


def check_disk(home: Home, least_free: int) -> None:
    """Check that there is room for the database and for new metadata.

    Raises:
        NotFit: there is not.
    """
    free = shutil.disk_usage(home.path).free
    if free < least_free:
        raise NotFit(f"{free >> 20} MiB are free under {home.path}, less than {least_free >> 20} MiB (C2LST_SERVER_LEAST_FREE)")
