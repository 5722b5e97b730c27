"""What the service writes down: one line per event, for people or as JSON. No body, no header, no token.

A request's line holds method, path, status, milliseconds, address, and the site or administrator who asked.
"""

from __future__ import annotations

import logging
import time
from enum import StrEnum
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from c2lst_server.rate_limit import host_of

MAX_PATH = 200  # characters of a path that are written down
log = logging.getLogger("c2lst.requests")


class LogFormat(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


def log_config(style: LogFormat) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`: all loggers of the service to standard error."""
    formatters: dict[LogFormat, dict[str, Any]] = {
        LogFormat.TEXT: {"format": "%(asctime)s %(levelname)s %(message)s"},
        LogFormat.JSON: {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["asctime", "levelname", "name", "message"],
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            "datefmt": "%Y-%m-%dT%H:%M:%S%z",
            "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # uvicorn says the same again in colours
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatters[style]},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in ("uvicorn", "c2lst.requests")
        },
    }


class RequestLog:
    """ASGI middleware that writes one line per request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and write down how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _write(scope, status, 1000 * (time.monotonic() - began))


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
