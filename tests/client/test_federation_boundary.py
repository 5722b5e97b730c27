"""The gate: a request's answer leaves as it is, everything else leaves as a number, and a site may say nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import make_message

from c2lst_client.federation.app_process import pinned_fab
from c2lst_client.federation.boundary import (
    FAILED,
    FIELD,
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    NOT_UNDERSTOOD,
    RECORD,
    Silent,
    answer,
)
from c2lst_client.home import Home
from c2lst_client.rounds.policy import change_policy
from c2lst_shared.flower.fab import fab_sha256
from c2lst_shared.wire import RoundRefusal, parse_answer

SECRET = "MRN-4711"
GOOD = RoundRefusal(code="internal").body()


def _message(body: object = b"request", kind: str = "query", record: str = RECORD) -> Message:
    metadata = Metadata(
        run_id=1, message_id="1", src_node_id=1, dst_node_id=2, reply_to_message_id="", group_id="", created_at=1.0, ttl=60.0,
        message_type=kind,
    )  # fmt: skip
    return make_message(metadata=metadata, content=RecordDict({record: ConfigRecord({FIELD: body})}))


def _says(body: object) -> Message:
    return answer(_message(), lambda _: body, parse_answer)  # type: ignore[arg-type, return-value]


def test_answer_of_wire_leaves_as_it_is_and_nothing_with_it() -> None:
    reply = _says(GOOD)

    assert list(reply.content) == [RECORD]
    assert dict(reply.content.config_records[RECORD]) == {FIELD: GOOD}


@pytest.mark.parametrize(
    "body",
    [
        b"MRN-4711",
        b"{}",
        GOOD[:-1] + b',"note":"MRN-4711"}',
        b"x" * (MAX_ANSWER_BYTES + 1),
        "text",
        None,
        object(),
        4711,
        [GOOD],
    ],
    ids=["bytes", "empty model", "a field more", "long", "text", "none", "object", "number", "list"],
)
def test_what_is_no_answer_of_wire_does_not_leave(body: object) -> None:
    try:
        reply = _says(body)
    except Silent:
        return

    _is_number(reply, FAILED)


@pytest.mark.parametrize("error", [RuntimeError(SECRET), ValueError(SECRET), KeyError(SECRET), MemoryError(SECRET)])
def test_exception_leaves_as_a_number(error: Exception) -> None:
    def fail(_: bytes) -> bytes:
        raise error

    _is_number(answer(_message(), fail, parse_answer), FAILED)


def test_exception_of_the_check_leaves_as_a_number() -> None:
    def refuse(_: bytes) -> None:
        raise RuntimeError(SECRET)

    _is_number(answer(_message(), lambda _: GOOD, refuse), FAILED)


def test_handler_that_says_nothing_is_silent() -> None:
    with pytest.raises(Silent):
        _says(b"")


@pytest.mark.parametrize(
    "message",
    [
        _message(kind="train"),
        _message(kind="evaluate"),
        _message("text"),
        _message(4711),
        _message(b"x" * (MAX_REQUEST_BYTES + 1)),
        _message(record="other"),
    ],
    ids=["train", "evaluate", "text", "number", "long", "another record"],
)
def test_other_messages_do_not_reach_the_handler(message: Message) -> None:
    asked: list[bytes] = []

    def handle(request: bytes) -> bytes:
        asked.append(request)
        return GOOD

    _is_number(answer(message, handle, parse_answer), NOT_UNDERSTOOD)
    assert not asked


def test_policy_pins_the_fab(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert pinned_fab(home) == fab_sha256()

    change_policy(home, {"fab_sha256": "a" * 64})

    assert pinned_fab(home) == "a" * 64


def _is_number(reply: Message, code: int) -> None:
    assert reply.has_error()
    assert not reply.has_content()
    assert (reply.error.code, reply.error.reason) == (code, "")
