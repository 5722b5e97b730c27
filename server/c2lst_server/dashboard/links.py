"""Which sites SuperLink sees online, as of some seconds ago: a page never waits for SuperLink."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy.orm import Session, sessionmaker

from c2lst_server.federation.site_links import sites_online
from c2lst_server.home import Home

KEPT_SECONDS = 15.0


class SeenLinks:
    """What was last heard of SuperLink. Asking for it lets a thread ask SuperLink anew when that was a while ago."""

    def __init__(self, look: Callable[[], frozenset[str] | None], *, kept: float = KEPT_SECONDS) -> None:
        self._look, self._kept = look, kept
        self._online: frozenset[str] | None = None
        self._due = 0.0
        self._looking = threading.Lock()
        self.version = 0  # differs whenever the answer does

    @classmethod
    def of(cls, home: Home, make_session: sessionmaker[Session]) -> SeenLinks:
        """Return what SuperLink of this deployment says."""

        def look() -> frozenset[str] | None:
            with make_session() as session:
                return frozenset(sites_online(home, session))

        return cls(look)

    @property
    def online(self) -> frozenset[str] | None:
        """The names of the sites that are linked; None when SuperLink does not answer, or was not asked yet."""
        if time.monotonic() >= self._due and self._looking.acquire(blocking=False):
            self._due = time.monotonic() + self._kept
            threading.Thread(target=self._renew, daemon=True, name="links").start()
        return self._online

    def _renew(self) -> None:
        try:
            self.renew()
        finally:
            self._looking.release()

    def renew(self) -> None:
        """Ask SuperLink now, and wait for it."""
        try:
            found = self._look()
        except Exception:  # SuperLink or the database is away: nobody knows
            found = None
        if found != self._online:
            self._online = found
            self.version += 1
