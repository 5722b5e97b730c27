"""What carries the messages of rounds to the sites and back; rounds themselves know nothing of Flower.

A request is the body of a `RoundRequest` of `wire`, an answer that of a `RoundAnswer`. Sites answer at once: they look into
their queue and say how things stand, so that an exchange is a matter of seconds and may be lost without loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from c2lst_shared.wire import RequestKind


class Node(Protocol):
    """A site as the transport sees it."""

    @property
    def online(self) -> bool:
        """Whether it can be sent to now, in the transport's own view of the link."""

    @property
    def last_seen(self) -> datetime | None:
        """When the link was last alive, with a time zone; None = never, or not known."""


@dataclass(frozen=True)
class Message:
    """One request to one site."""

    site: str
    kind: RequestKind  # the same word as in the body
    body: bytes


class Transport(Protocol):
    """Implemented over Flower's grid; in memory for tests. Used by one thread.

    Either method may raise `TransferFailed` when the transport itself is away (not one of the sites): the driver asks again
    later.
    """

    def nodes(self) -> Mapping[str, Node]:
        """Return the sites that the transport knows, by the names that they are enrolled under."""

    def exchange(self, messages: Sequence[Message], *, timeout: float) -> Mapping[str, bytes]:
        """Send all messages, wait for the answers together, and return those that came, by site.

        A site that does not answer within `timeout` seconds, whose answer is an error of the transport, or that went away
        meanwhile is left out; it holds up nobody. There is at most one message per site. An answer that comes after its
        exchange has ended is thrown away: every request may be repeated.
        """
