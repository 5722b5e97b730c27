"""The gate: every answer of a round passes through `answer`, and nothing reaches Flower by another way.

What leaves is the bytes that the site's handler returned, once they were found to be an answer of `wire`, or an error of which
only a number is sent. What went wrong stays in the site's own log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from c2lst_shared.wire import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp

log = logging.getLogger(__name__)

RECORD, FIELD = "c2lst", "body"  # where a message's bytes are
QUERY = "query"  # Flower's word for a message that asks and trains nothing

# Flower's numbers for what went wrong (flwr.common.constant.ErrorCode); no text goes with them.
FAILED, NOT_UNDERSTOOD, OTHER_FAB = 2, 6, 7

Handler = Callable[[bytes], bytes]
Check = Callable[[bytes], object]  # raises ValueError for what is no answer


class Silent(Exception):
    """Nothing may leave in answer to this request."""


def answer(message: Message, handle: Handler, check: Check) -> Message:
    """Return the reply to `message`: what `handle` says, or the number of an error.

    Raises:
        Silent: the handler wants nothing to be said.
    """
    try:
        request = _request(message)
    except (KeyError, TypeError, ValueError):
        log.exception("A message is no request of a round")
        return refusal(message, NOT_UNDERSTOOD)
    try:
        body = handle(request)
        if body:
            _check_length(body)
            check(body)
    except Exception:
        log.exception("A request could not be answered")
        return refusal(message, FAILED)
    if not body:
        raise Silent
    return _reply(message, body)


def refusal(message: Message, code: int) -> Message:
    """Return an error reply: its number, and no word about it."""
    from flwr.app import Error
    from flwr.app import Message as FlowerMessage

    return FlowerMessage(Error(code=code, reason=""), reply_to=message)


def _request(message: Message) -> bytes:
    if message.metadata.message_type != QUERY:
        raise ValueError(f"the message is {message.metadata.message_type!r}, not {QUERY!r}")
    body = message.content.config_records[RECORD][FIELD]
    if type(body) is not bytes:
        raise TypeError("the request is not bytes")
    if len(body) > MAX_REQUEST_BYTES:
        raise ValueError(f"the request has {len(body)} bytes, more than {MAX_REQUEST_BYTES}")
    return body


def _check_length(body: bytes) -> None:
    if type(body) is not bytes or len(body) > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer has at most {MAX_ANSWER_BYTES} bytes")


def _reply(message: Message, body: bytes) -> Message:
    from flwr.app import ConfigRecord, RecordDict
    from flwr.app import Message as FlowerMessage

    return FlowerMessage(RecordDict({RECORD: ConfigRecord({FIELD: body})}), reply_to=message)


def __getattr__(name: str) -> ClientApp:
    """Give what the FAB names, a Flower app, to whoever would load the FAB: it answers nothing."""
    if name != "app":
        raise AttributeError(name)
    from flwr.clientapp import ClientApp

    def refuse(message: Message, context: Context) -> Message:
        return refusal(message, FAILED)

    app = ClientApp()
    app.query()(refuse)
    return app
