"""A transport in memory: sites are functions of bytes, and links come and go as a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from c2lst_server.rounds.transport import Message
from c2lst_shared.errors import TransferFailed


@dataclass(frozen=True)
class Link:
    online: bool
    last_seen: datetime | None = None


@dataclass
class Wire:
    """Site name -> what answers there; `away` ones are offline, `deaf` ones are thought online but do not answer."""

    sites: Mapping[str, Callable[[bytes], bytes]]
    away: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)  # requests do not arrive
    mute: set[str] = field(default_factory=set)  # requests arrive, answers are lost
    down: bool = False
    last_seen: datetime | None = None
    sent: list[Message] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    def nodes(self) -> dict[str, Link]:
        if self.down:
            raise TransferFailed("SuperLink does not answer.")
        return {site: Link(site not in self.away, self.last_seen) for site in self.sites}

    def exchange(self, messages: Sequence[Message], *, timeout: float) -> dict[str, bytes]:
        if self.down:
            raise TransferFailed("SuperLink does not answer.")
        self.sent += messages
        heard = {each.site: self.sites[each.site](each.body) for each in messages if each.site not in self.deaf}
        self.answers += heard.values()
        return {site: body for site, body in heard.items() if site not in self.mute}

    def kinds(self, site: str) -> list[str]:
        return [message.kind for message in self.sent if message.site == site]
