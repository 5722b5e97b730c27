"""What may leave a site is listed in one file (`wire/outbound.py`), and secrets show only in the bytes that are sent."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from c2lst_shared import wire

PEM = "-----BEGIN PUBLIC KEY-----\nMHYw\n-----END PUBLIC KEY-----\n"


def all_messages(base: type[wire.Outbound] = wire.Outbound) -> set[type[wire.Outbound]]:
    kinds = set(base.__subclasses__()).union(*(all_messages(kind) for kind in base.__subclasses__()))
    return kinds - {wire.WireMessage, wire.RoundAnswer}


def test_egress_list_is_this_one() -> None:
    """A new way out of the site must be added here by someone who meant it."""
    leaving = {kind.__name__: sorted(kind.model_fields) for kind in all_messages()}
    assert leaving == {
        "EnrolmentRequest": ["public_key_pem", "token"],
        "KeyRotation": ["proof", "public_key_pem"],
        "RoundRefusal": ["code", "kind"],
        "RoundResult": [
            "arms",
            "concordance",
            "conditioning_r",
            "denoising_loss",
            "genes",
            "held_out_spots",
            "kind",
            "min_spots",
            "peak_memory_mib",
            "round_id",
            "seconds",
            "train_spots",
            "withheld",
        ],
        "RoundStatus": ["error", "eta_seconds", "kind", "reason", "round_id", "stage", "state", "step", "steps"],
        "TokenRequest": ["client_assertion", "client_assertion_type", "grant_type"],
    }


def kinds_of_values(annotation: Any) -> Iterator[Any]:
    """All that a field may hold, down to the leaves of parts, unions and lists, with its bounds."""
    if isinstance(annotation, type) and issubclass(annotation, wire.Closed):
        for field in annotation.model_fields.values():
            yield from kinds_of_values(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
    elif get_origin(annotation) in {types.UnionType, Union}:
        for part in get_args(annotation):
            yield from kinds_of_values(part)
    elif get_origin(annotation) is Annotated:
        base, *bounds = get_args(annotation)
        if get_origin(base) in {tuple, types.UnionType, Union}:
            if get_origin(base) is tuple:
                assert any(hasattr(each, "max_length") or getattr(each, "metadata", ()) for each in bounds), annotation
            yield from kinds_of_values(base)
        else:
            yield base, bounds
    elif get_origin(annotation) is tuple:
        yield from kinds_of_values(get_args(annotation)[0])
    else:
        yield annotation, []


@pytest.mark.parametrize("kind", [wire.RoundStatus, wire.RoundResult, wire.RoundRefusal])
def test_answers_of_rounds_hold_bounded_numbers_and_words_of_closed_lists(kind: type[wire.Outbound]) -> None:
    for value, bounds in kinds_of_values(kind):
        if value in {int, float}:
            text = repr(bounds)
            assert "ge=" in text, (value, bounds)
            assert "le=" in text, (value, bounds)
        elif value is str:
            assert "[0-9a-f]{16}" in repr(bounds)  # the identifier that the centre made
        else:
            assert value is type(None) or get_origin(value) is Literal, value


def values_of(kind: type[wire.Outbound]) -> st.SearchStrategy[wire.Outbound]:
    """Any object of an answer that its own checks let pass."""
    number = st.floats(-1_000, 1_000) | st.sampled_from([-1.0, 0.0, 1.0, 0.1234567, 1e-300, 999.95])
    part = st.fixed_dictionaries({"value": number, "low": number, "high": number})
    whole = st.integers(0, 2 * 10**8)
    choices: dict[str, st.SearchStrategy[Any]] = {
        "kind": st.just(kind.model_fields["kind"].default),
        "round_id": st.text("0123456789abcdef", min_size=16, max_size=16),
        "arms": st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(get_args(wire.RoundArmKind)),
                    "seeds": st.integers(0, 100),
                    "ratio": st.none() | st.integers(1, 1000),
                    "mae": st.none() | part,
                    "change": st.none() | part,
                }
            ),
            max_size=20,
        ),
        "withheld": st.lists(
            st.fixed_dictionaries(
                {
                    "metric": st.sampled_from(get_args(wire.Metric)),
                    "reason": st.sampled_from(get_args(wire.WithheldReason)),
                }
            ),
            max_size=20,
        ),
        **dict.fromkeys(("denoising_loss", "conditioning_r", "concordance"), st.none() | part),
        "state": st.sampled_from(get_args(wire.SiteState)),
        "stage": st.none() | st.sampled_from(get_args(wire.Stage)),
        "error": st.none() | st.sampled_from(get_args(wire.ErrorCode)),
        "reason": st.none() | st.sampled_from(get_args(wire.DeclineReason)),
        "min_spots": st.integers(0, 20_000),
    }
    given_ = st.fixed_dictionaries({name: choices.get(name, st.none() | whole) for name in kind.model_fields})
    return given_.map(lambda values: _made(kind, values)).filter(lambda made: made is not None)


def _made(kind: type[wire.Outbound], values: dict[str, Any]) -> Any:
    try:
        return kind.model_validate(values)
    except ValidationError:
        return None


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(values_of(wire.RoundResult) | values_of(wire.RoundStatus))
def test_answer_that_passes_its_checks_is_short_and_reads_back_the_same(answer: wire.Outbound) -> None:
    body = answer.body()
    assert len(body) <= 6_000 < wire.MAX_ANSWER_BYTES
    assert wire.parse_answer(body).body() == body


def test_longest_result_fits() -> None:
    worst = {"value": -999.9, "low": -999.9, "high": -999.9}
    arm = {"kind": "real+synthetic+augmentation", "ratio": 1000, "seeds": 100, "mae": worst | {"value": 999.9}, "change": worst}
    result = wire.RoundResult.model_validate(
        {
            "round_id": "f" * 16,
            "arms": [arm] * 16,
            "withheld": [{"metric": "denoising_loss", "reason": "not_measured"}] * 16,
            "denoising_loss": worst | {"value": 999.9},
        }
    )
    assert len(result.body()) < wire.MAX_ANSWER_BYTES / 2
    with pytest.raises(ValidationError):
        wire.RoundResult.model_validate({"round_id": "f" * 16, "arms": [arm] * 17})


def test_figure_keeps_four_digits() -> None:
    found = wire.LossEstimate(value=0.123456789, low=123.456, high=1e-9)
    assert (found.value, found.low, found.high) == (0.1235, 123.5, 1e-9)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_number_without_bounds_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        wire.LossEstimate(value=value, low=0, high=0)


def test_message_built_around_its_checks_has_no_bytes() -> None:
    with pytest.raises(ValueError, match="genes"):
        wire.RoundResult(round_id="f" * 16).model_copy(update={"genes": "Pcp4"}).body()


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
