"""Takes a round's questions to the sites, to as many at once as answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from c2lst_server.rounds.transport import Message, Transport
from c2lst_server.tracing import UNTRACED, Tracing


@dataclass(frozen=True)
class Pace:
    """How often sites are asked; seconds."""

    between: float = 2.0  # two looks at who is to be asked
    running: float = 10.0  # a site that works
    resting: float = 60.0  # one that waits for a person or for its turn
    silent: float = 15.0  # one that did not answer
    timeout: float = 15.0  # for which answers are waited for
    lease: float = 30.0  # after which a round whose driver is silent gets another
    at_once: int = 25  # sites asked in one exchange, at most; see `GroupSize`
    after_deadline: float = 60.0  # in which sites may still tell what they finished in time


PACE = Pace()


class GroupSize:
    """How many sites are asked in one exchange: half as many when answers stay away, one more while they come.

    SuperLink needs about half a second of a core for each, and what it does not carry within the time that answers are waited
    for is done in vain and asked for again: 100 sites in groups of 25 made it work three times as much (docs/performance.md).
    The rule is that of TCP for a network that it does not know (additive increase, multiplicative decrease; RFC 5681).
    """

    LEAST = 4  # so that a few sites that are dead do not stand alone in the group
    STEP = 1
    ENOUGH = 0.75  # share of answers; below, SuperLink is taken to be at its limit

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = most

    def learn(self, asked: int, answered: int) -> None:
        """Take in how an exchange went."""
        if answered >= self.ENOUGH * asked:
            if asked >= self.now:
                self.now = min(self._most, self.now + self.STEP)
        elif asked > self.LEAST:  # a few that say nothing are dead, and tell nothing of SuperLink
            self.now = max(self.LEAST, asked // 2)


class Courier:
    """Asks sites over a transport, at a pace; learns from each exchange how many may be asked in the next."""

    def __init__(self, transport: Transport, pace: Pace = PACE, tracing: Tracing = UNTRACED) -> None:
        self.nodes = transport.nodes
        self.pace = pace
        self._transport, self._tracing = transport, tracing
        self._group = GroupSize(pace.at_once)

    @property
    def room(self) -> int:
        """How many sites may be asked in one exchange."""
        return self._group.now

    @contextmanager
    def asking(self, messages: Sequence[Message]) -> Iterator[Mapping[str, bytes]]:
        """Give the answers that came in time, by site (see `Transport.exchange`); the body belongs to the same span.

        Raises:
            TransferFailed: the transport is away.
        """
        with self._tracing.span("ask sites") if messages else nullcontext():
            answers = self._transport.exchange(messages, timeout=self.pace.timeout) if messages else {}
            self._group.learn(len(messages), len(answers))
            yield answers
