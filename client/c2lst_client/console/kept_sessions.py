"""Sessions in a file of the state folder, so that a restart of the console signs nobody out.

The file has the digests of sessions and of the token that opened them: with another token none of them is open any more.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from c2lst_shared import atomic
from c2lst_shared.web.sessions import IDLE, LONGEST, BrowserSession, digest, new_identifier

WRITE_EVERY = timedelta(seconds=30)  # how exactly the idle time is kept over a restart
MOST = 20


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ends: AwareDatetime
    idle_until: AwareDatetime
    written: AwareDatetime  # when `idle_until` was

    def open_at(self, now: datetime) -> bool:
        return min(self.ends, self.idle_until) > now


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: str  # its digest
    sessions: dict[str, _Kept] = {}


class KeptSessions:
    """Sessions of the console.

    Args:
        path: of the file.
        token: that opens sessions.
        who: what everybody who shows the token is called.
        idle: time without anything done after which a session ends.
        longest: time after which it ends in any case.
    """

    def __init__(self, path: Path, token: str, *, who: str, idle: timedelta = IDLE, longest: timedelta = LONGEST) -> None:
        self._path, self._who, self._idle, self._longest = path, who, idle, longest
        self._lock = threading.Lock()
        self._file = self._read(digest(token))

    def open(self) -> BrowserSession:
        """Begin a session."""
        identifier, now = new_identifier(), datetime.now(UTC)
        with self._lock:
            kept = {key: each for key, each in self._file.sessions.items() if each.open_at(now)}
            while len(kept) >= MOST:
                del kept[min(kept, key=lambda key: kept[key].ends)]
            kept[digest(identifier)] = _Kept(ends=now + self._longest, idle_until=now + self._idle, written=now)
            self._file.sessions = kept
            self._write()
        return BrowserSession(identifier, self._who)

    def find(self, identifier: str | None, *, used: bool = True) -> BrowserSession | None:
        """Return the session if it is open; `used` lets its idle time begin anew."""
        if not identifier:
            return None
        now = datetime.now(UTC)
        with self._lock:
            kept = self._file.sessions.get(digest(identifier))
            if kept is None or not kept.open_at(now):
                return None
            if used:
                kept.idle_until = now + self._idle
                if now - kept.written > WRITE_EVERY:
                    kept.written = now
                    self._write()
        return BrowserSession(identifier, self._who)

    def close(self, identifier: str) -> None:
        """End a session."""
        with self._lock:
            if self._file.sessions.pop(digest(identifier), None) is not None:
                self._write()

    def _read(self, token: str) -> _File:
        try:
            found = _File.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):  # what cannot be read opens nothing
            return _File(token=token)
        return found if found.token == token else _File(token=token)

    def _write(self) -> None:
        atomic.write_text(self._path, self._file.model_dump_json(), mode=0o600)
