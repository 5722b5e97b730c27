"""How every long-running process writes its log: one line per event, for people or as JSON, to standard error.

Every line that belongs to a request or to a round carries its id, wherever in the code it is written. With `plain_errors`, an
exception is written as its class and the places in the code that it came through, without its words: at a site these may name
a file or a spot. What they said is shown by `c2lst-client rounds show`.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from types import TracebackType
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
round_id: ContextVar[str | None] = ContextVar("round_id", default=None)

TALKATIVE = ("httpx", "alembic")  # libraries whose INFO says nothing that is not said elsewhere
_IDS = {"request": request_id, "round": round_id}
_ROUND = re.compile(r"[0-9a-f]{1,32}")
_Error = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogFormat(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


def log_config(style: LogFormat, *loggers: str, plain_errors: bool = False) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`.

    Args:
        style: of the lines.
        loggers: names of those that write; all of them when none is named.
        plain_errors: exceptions are written without their words.
    """
    formatters: dict[LogFormat, dict[str, Any]] = {
        LogFormat.TEXT: {"()": f"{__name__}.TextFormatter", "plain_errors": plain_errors},
        LogFormat.JSON: {"()": f"{__name__}.json_formatter", "plain_errors": plain_errors},
    }
    written = {"handlers": ["stderr"], "level": "INFO"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatters[style]},
        "filters": {"ids": {"()": f"{__name__}.Ids"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["ids"]}},
        "loggers": {name: {**written, "propagate": False} for name in loggers}
        | {name: {"level": "WARNING"} for name in TALKATIVE},
        **({} if loggers else {"root": written}),
    }


def write_logs(style: LogFormat, *, plain_errors: bool = False) -> None:
    """Let this process write its log so."""
    logging.config.dictConfig(log_config(style, plain_errors=plain_errors))


def take_over(name: str, level: int = logging.INFO) -> None:
    """Let a library's logger, which would write in its own way, write as the rest of the process does."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(level)


@contextmanager
def in_round(identifier: str) -> Iterator[None]:
    """Let the lines that the body writes carry the id of this round; what is no such id is not written down."""
    token = round_id.set(identifier if _ROUND.fullmatch(identifier) else None)
    try:
        yield
    finally:
        round_id.reset(token)


def current_ids() -> dict[str, str]:
    """Return the ids of the request and of the round that is worked on here, as far as there are any."""
    found = {name: variable.get() for name, variable in _IDS.items()}
    return {name: value for name, value in found.items() if value is not None}


class Ids(logging.Filter):
    """Adds the ids of the request and of the round that a line belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass."""
        for name, value in current_ids().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


class TextFormatter(logging.Formatter):
    """Lines for people."""

    def __init__(self, *, plain_errors: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._plain_errors = plain_errors

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write a line down, with the ids that it belongs to."""
        ids = [f"{name} {getattr(record, name)}" for name in _IDS if hasattr(record, name)]
        return super().formatMessage(record) + (f" [{', '.join(ids)}]" if ids else "")

    def formatException(self, ei: _Error) -> str:  # noqa: N802
        """Write an exception down."""
        return error_lines(ei) if self._plain_errors else super().formatException(ei)


def json_formatter(*, plain_errors: bool = False) -> logging.Formatter:
    """Return what writes lines for machines."""
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    class Formatter(JsonFormatter):
        def formatException(self, ei: _Error) -> str:  # noqa: N802
            text = error_lines(ei) if plain_errors else super().formatException(ei)
            return text if isinstance(text, str) else "\n".join(text)

    return Formatter(
        fmt=["asctime", "levelname", "name", "message"],
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn says the same again in colours
    )


def error_lines(error: _Error) -> str:
    """Return the class of an exception, and of those that led to it, and where in the code they arose."""
    lines, found = [], error[1]
    while found is not None:
        lines.append(type(found).__qualname__)
        lines += [
            f"  {frame.name}, {_module(frame.filename)}:{frame.lineno}" for frame in traceback.extract_tb(found.__traceback__)
        ]
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return "\n".join(lines)


def _module(filename: str) -> str:
    """The end of a source file's path, from its package on."""
    roots = [root for root in sys.path if root and filename.startswith(root)]
    return filename[len(max(roots, key=len, default="")) :].lstrip("/")
