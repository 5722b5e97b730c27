"""Server-sent events that tell open pages that what they show has changed; each then asks for its own content again.

An open connection costs a task that sleeps: no thread, no database connection. While somebody listens, one task looks every
few seconds whether anything changed, for all of them. Connections are few, end after some minutes (browsers come again, and
show their session again), and end at once when the service stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.responses import Response

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
HEARTBEAT_SECONDS = 15.0  # proxies give up a connection that is silent for a minute
LONGEST_SECONDS = 300.0
MOST_LISTENERS = 100
RETRY_SECONDS = 30  # after which a browser that was not let in asks again


class Changes:
    """One stream of changes, to however many pages.

    Args:
        look: returns a text that differs whenever something changed that pages show, for example a digest.
        every: seconds between two looks.
        most: listeners at a time.
    """

    def __init__(self, look: Callable[[], Awaitable[str]], *, every: float = LOOK_SECONDS, most: int = MOST_LISTENERS) -> None:
        self._look, self._every, self._most = look, every, most
        self._wakers: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._seen = ""
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many pages listen now."""
        return len(self._wakers)

    def answer(self) -> Response:
        """Return the answer to a page that wants to listen: the stream, or 503 when there are too many already."""
        from starlette.responses import PlainTextResponse, StreamingResponse

        if self._closed or len(self._wakers) >= self._most:
            headers = {"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"}
            return PlainTextResponse("Too many pages listen; load the page again later.", 503, headers=headers)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self.stream(), media_type="text/event-stream", headers=headers)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield an event at the beginning and whenever something changed, and a comment now and then."""
        loop = asyncio.get_running_loop()
        waker, end, sent = asyncio.Event(), loop.time() + LONGEST_SECONDS, None
        self._wakers.add(waker)
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._keep_looking())
            yield b"retry: 2000\n\n"
            while not self._closed and loop.time() < end:
                if self._seen and self._seen != sent:
                    sent = self._seen
                    yield f"event: change\ndata: {sent}\n\n".encode()
                waker.clear()
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await waker.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._wakers.discard(waker)

    def close(self) -> None:
        """End every stream, and begin none any more."""
        self._closed = True
        self._wake()
        if self._looking is not None:
            self._looking.cancel()

    async def _keep_looking(self) -> None:
        while self._wakers and not self._closed:
            try:
                seen = await self._look()
            except Exception as error:  # the database may be away for a while; pages say so when they are loaded
                log.warning("Whether anything changed cannot be seen: %s", type(error).__name__)
            else:
                if seen != self._seen:
                    self._seen = seen
                    self._wake()
            await asyncio.sleep(self._every)

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()
