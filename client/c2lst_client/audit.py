"""The audit log: one JSON line per request that left the site, per answer in a round and per export.

Each line carries the digest of the line before it. A line that is changed, removed or put in later breaks the chain. Lines cut
off at the end do not: whoever wants to notice that keeps the newest digest elsewhere from time to time (`AuditLog.head`).
"""

from __future__ import annotations

import hashlib
import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from c2lst_shared.errors import BadArtefact

START = "0" * 64  # what the first line carries
TAIL_BYTES = 1 << 20  # where the last line is looked for; messages are much shorter


class Entry(BaseModel):
    """One request, or one export of synthetic pairs. A secret in `content` is written as stars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))  # when the exchange ended
    kind: Literal["request", "export", "round"] = "request"  # a copy to a folder of the user's; an answer in a round
    method: str
    path: str
    bytes_out: int  # of the body
    bytes_in: int  # of the body, as far as it was read
    status: int | None = None  # None = no answer came
    message: str | None = None  # the kind of message that was sent, a class of `wire`
    content: dict[str, Any] | None = None  # what it said
    previous: str = START  # SHA-256 of the line before this one


class AuditLog:
    """The log at `path`; several processes may write to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def head(self) -> str:
        """The digest of the last line.

        Raises:
            BadArtefact: the last line is incomplete.
        """
        if not self._path.exists():
            return START
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - TAIL_BYTES))
            tail = file.read()
        if tail and not tail.endswith(b"\n"):
            raise BadArtefact(f"The audit log {self._path} ends in an incomplete line; keep a copy and move it away to go on.")
        return _digest(tail.splitlines()[-1]) if tail else START

    def append(self, entry: Entry) -> None:
        """Add one line, and see it on the disk before anything else happens.

        Raises:
            BadArtefact: the last line is incomplete, so that nothing can be chained to it.
            OSError: the disk takes no more; the log is as it was.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock"):
            line = entry.model_copy(update={"previous": self.head}).model_dump_json(exclude_none=True)
            with open(self._path, "ab", buffering=0, opener=_private) as file:
                before = os.fstat(file.fileno()).st_size
                try:
                    _write(file, line.encode() + b"\n")
                except OSError:
                    os.ftruncate(file.fileno(), before)  # a part of a line would stand in the way of every later one
                    raise


def verify_chain(path: Path) -> int:
    """Return the number of lines of the audit log at `path` when each one carries the digest of the one before.

    Raises:
        BadArtefact: a line was changed, removed, put in, or is incomplete.
    """
    previous, number = START, 0
    if not path.exists():
        return number
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n") or _previous(line) != previous:
                raise BadArtefact(f"The audit log {path} was changed at line {number}; keep a copy and find out by whom.")
            previous = _digest(line.removesuffix(b"\n"))
    return number


def read_entries(path: Path) -> list[Entry]:
    """Return the lines of the audit log at `path`, whether the chain holds or not.

    Raises:
        BadArtefact: one cannot be read.
    """
    entries = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], start=1):
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError:
            raise BadArtefact(f"Line {number} of the audit log {path} cannot be read; keep a copy and find out why.") from None
    return entries


def _write(file: io.FileIO, content: bytes) -> None:
    while content:  # a disk that is nearly full takes a part
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def _previous(line: bytes) -> str | None:
    try:
        return Entry.model_validate_json(line).previous
    except ValidationError:
        return None


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
