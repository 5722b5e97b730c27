"""The driver of rounds with a clock: what `c2lst_server.rounds.drive` does, and beside it how long each exchange took.

It runs in the process of a run, as the real one does, and leaves `timed.json` in the server's home.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import paired

from c2lst_server.federation.transport import FlowerTransport
from c2lst_server.rounds import courier
from c2lst_server.rounds import drive as rounds
from c2lst_server.rounds.transport import Transport
from c2lst_server.settings import Settings

PACE, TIMED = "pace.json", "timed.json"  # in the server's home; the first is optional


class TimedGrid:
    """A grid that notes when each message was given to it and when it gave out the reply."""

    def __init__(self, grid: Any) -> None:
        self._grid = grid
        self._sent: dict[str, float] = {}
        self.asked = 0
        self.exchanges: list[float] = []  # seconds

    def push_messages(self, messages: Iterable[Any]) -> list[str]:
        now = time.monotonic()
        ids = list(self._grid.push_messages(messages))
        self._sent |= dict.fromkeys(ids, now)
        self.asked += len(ids)
        return ids

    def pull_messages(self, ids: Iterable[str]) -> list[Any]:
        replies = list(self._grid.pull_messages(ids))
        now = time.monotonic()
        answers = [reply for reply in replies if not reply.has_error()]  # an error: SuperLink says that nobody answered
        self.exchanges += [now - self._sent.pop(answer.metadata.reply_to_message_id) for answer in answers]
        return replies


def drive(settings: Settings, round_id: str, transport: Transport, stop: Callable[[], bool]) -> None:
    """Drive the round and write down what that took."""
    assert isinstance(transport, FlowerTransport)
    home = settings.folders.path
    pace = home / PACE
    grid, requests = TimedGrid(transport._grid), 0

    def count(_request: object) -> None:
        nonlocal requests
        requests += 1

    transport._grid._runtime_client._client.event_hooks = {"request": [count]}
    timed = FlowerTransport(grid, transport._control, transport._keys)  # type: ignore[arg-type]
    try:
        given = courier.Pace(**json.loads(pace.read_text())) if pace.exists() else courier.PACE
        rounds.drive(settings, round_id, timed, stop, pace=given)
    finally:
        found = {"asked": grid.asked, "exchanges": grid.exchanges, "requests": requests, "peak_mib": paired.peak()}
        Path(home / TIMED).write_text(json.dumps(found))
