"""`doctor` for the page: run when somebody asks for it, in a process of its own, which has torch and may take a minute.

`python -m c2lst_client.console.checkup HOME [--offline]` prints the findings as JSON.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from c2lst_client.doctor import Finding, examine
from c2lst_client.home import Home
from c2lst_client.settings import Settings

log = logging.getLogger(__name__)

LONGEST_SECONDS = 600.0  # every file of every release is read
_FINDINGS = TypeAdapter(list[Finding])


@dataclass(frozen=True)
class Results:
    """What a run of doctor found."""

    ended: datetime
    offline: bool
    findings: list[Finding]
    failed: str = ""  # why there is no result


class Checkup:
    """Runs doctor, once at a time, and keeps what it found last for as long as the console runs."""

    def __init__(self, home: Home, command: tuple[str, ...] = (sys.executable, "-m", __name__)) -> None:
        self._home, self._command = home, command
        self._task: asyncio.Task[None] | None = None
        self.began: datetime | None = None  # of the one that runs
        self.last: Results | None = None

    @property
    def runs(self) -> bool:
        """Whether one runs now."""
        return self._task is not None and not self._task.done()

    def start(self, *, offline: bool) -> bool:
        """Start a run in the loop that is running; False when one runs already."""
        if self.runs:
            return False
        self.began = datetime.now(UTC)
        self._task = asyncio.create_task(self._run(offline))
        return True

    async def end(self) -> None:
        """Give a run up that goes on."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, offline: bool) -> None:
        words = [*self._command, str(self._home.path), *(["--offline"] if offline else [])]
        process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        findings: list[Finding] = []
        failed = ""
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                output, _ = await process.communicate()
            findings = _FINDINGS.validate_json(output)
        except TimeoutError:
            failed = f"It did not end within {LONGEST_SECONDS / 60:.0f} minutes."
        except ValidationError:
            failed = "It ended without a result."
            log.warning("A run of doctor ended with %s and no result.", process.returncode)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self.last = Results(datetime.now(UTC), offline, findings, failed)


def main(words: list[str]) -> int:
    """Print what doctor finds in a state folder."""
    home, *options = words
    sys.stdout.buffer.write(_FINDINGS.dump_json(examine(Settings(home=Path(home)), offline="--offline" in options)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
