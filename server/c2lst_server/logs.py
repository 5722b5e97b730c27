"""What the service writes down about requests: one line each. No body, no header, no token.

A request's line holds method, path, status, milliseconds, address, and the site or administrator who asked. Every line that is
written meanwhile carries the request's id, which the answer carries too.
"""

from __future__ import annotations

import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from c2lst_server.rate_limit import host_of
from c2lst_shared.logs import request_id

LOGGERS = ("uvicorn", "c2lst.requests", "c2lst_server", "opentelemetry")
REQUEST_ID = "X-Request-ID"
MAX_PATH = 200  # characters of a path that are written down
log = logging.getLogger("c2lst.requests")


class RequestLog:
    """ASGI middleware that gives each request an id and writes one line about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and write down how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()
        identifier = secrets.token_hex(8)  # our own: one that a stranger sends could be anything
        token = request_id.set(identifier)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = identifier
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _write(scope, status, 1000 * (time.monotonic() - began))
            request_id.reset(token)


def _write(scope: Scope, status: int, milliseconds: float) -> None:
    fields = {
        "method": scope["method"],
        "path": _printable(scope["path"]),
        "status": status,
        "ms": round(milliseconds, 1),
        "address": host_of(scope),
        "who": scope.get("state", {}).get("who", "-"),
    }
    log.info("%(method)s %(path)s %(status)s in %(ms)s ms, %(address)s %(who)s", fields, extra=fields)


def _printable(path: str) -> str:
    """Return the path on one line, whatever a caller put into it."""
    return "".join(character if character.isprintable() else "?" for character in path[:MAX_PATH])
