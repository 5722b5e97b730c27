"""No request body is longer, or takes longer to come, than what a message of `wire` needs."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from c2lst_server.problems import problem

BODY_SECONDS = 30.0


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than `limit` bytes, before it is held, and 408 to a slow one."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with at most `limit` bytes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(receive)
        except TimeoutError:
            await problem(408, "The request did not come in time.", headers=_CLOSE)(scope, receive, send)
            return
        except _Gone:
            return
        if body is None:
            await problem(413, "The request is too long.", headers=_CLOSE)(scope, receive, send)
            return
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, None when it is too long."""
        received, parts, more = 0, [], True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise _Gone
            parts.append(message.get("body", b""))
            received += len(parts[-1])
            more = message.get("more_body", False)
            if received > self._limit:
                return None
        return b"".join(parts)


class _Gone(Exception):
    """The client went away."""


_CLOSE = {"Connection": "close"}
