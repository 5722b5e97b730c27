"""How many sites a driver asks at once, found out while asking."""

from __future__ import annotations


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
