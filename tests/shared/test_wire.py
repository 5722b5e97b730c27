"""What may leave a site is listed in one file, and secrets show only in the bytes that are sent."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr, ValidationError

from c2lst_shared import wire

PEM = "-----BEGIN PUBLIC KEY-----\nMHYw\n-----END PUBLIC KEY-----\n"


def all_messages(base: type[wire.WireMessage] = wire.WireMessage) -> set[type[wire.WireMessage]]:
    return set(base.__subclasses__()).union(*(all_messages(kind) for kind in base.__subclasses__()))


def test_egress_list_is_this_one() -> None:
    """A new way out of the site must be added here by someone who meant it."""
    leaving = {kind.__name__: sorted(kind.model_fields) for kind in all_messages()}
    assert leaving == {
        "EnrolmentRequest": ["public_key_pem", "token"],
        "KeyRotation": ["proof", "public_key_pem"],
        "TokenRequest": ["client_assertion", "client_assertion_type", "grant_type"],
    }


def test_token_shows_only_in_the_sent_bytes() -> None:
    message = wire.EnrolmentRequest(token=SecretStr("s3cret"), public_key_pem=PEM)
    assert json.loads(message.body()) == {"token": "s3cret", "public_key_pem": PEM}
    assert "s3cret" not in repr(message) + message.model_dump_json() + json.dumps(message.for_audit())


def test_assertion_shows_only_in_the_form_that_is_sent() -> None:
    message = wire.TokenRequest(client_assertion=SecretStr("a.b.c"))
    assert dict(parse_qsl(message.body().decode())) == message.model_dump(context=wire.REVEAL)
    assert b"client_assertion=a.b.c" in message.body()
    assert "a.b.c" not in repr(message) + message.model_dump_json() + json.dumps(message.for_audit())


def test_message_refuses_an_unknown_field() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        wire.EnrolmentRequest(token=SecretStr("s"), public_key_pem=PEM, patches=[1])  # type: ignore[call-arg]


def test_private_key_is_refused_as_public_key() -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        wire.EnrolmentRequest(token=SecretStr("s"), public_key_pem="-----BEGIN EC PRIVATE KEY-----\nMHYw\n")


@pytest.mark.parametrize(
    "url", ["https://central.example.org", "http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:8000"]
)
def test_safe_url_is_accepted(url: str) -> None:
    wire.check_server_url(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://central.example.org", "unencrypted"),
        ("http://127.0.0.1.example.org", "unencrypted"),
        ("ftp://central", "is not a URL"),
        ("central:8000", "is not a URL"),
        ("https://", "is not a URL"),
        ("https://a/", "plain base URL"),
        ("https://user:pass@a", "plain base URL"),
        ("https://a?x=1", "plain base URL"),
        ("https://a#x", "plain base URL"),
    ],
)
def test_unsafe_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wire.check_server_url(url)


def test_plain_http_to_another_machine_needs_to_be_asked_for() -> None:
    wire.check_server_url("http://central:8000", insecure_http=True)
