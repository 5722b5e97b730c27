"""A connection that does not bring the head of a request in time is closed; uvicorn itself would wait for ever."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
MAX_HEAD_BYTES = 16 << 10


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a limit on the time from the first byte of a request, or the connection, to its last header."""

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own annotation
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and wait for more of a head that is not complete."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._cancel()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # a head is complete, or the connection is over
            self._cancel()
        elif self._closing is None:
            self._closing = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _cancel(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
