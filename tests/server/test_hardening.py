"""The server gives nobody more of its time, memory or words than it means to."""

from __future__ import annotations

import json
import logging
import logging.config
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fakes.central import Central, serving
from pydantic import ValidationError

from c2lst_server import body_limit, rate_limit, slow_heads
from c2lst_server.errors import TooMany
from c2lst_server.rate_limit import Limits
from c2lst_server.security_headers import HEADERS
from c2lst_server.settings import Settings
from c2lst_shared.logs import LogFormat, log_config


@contextmanager
def connected(central: Central) -> Iterator[socket.socket]:
    host, _, port = central.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answered(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["silent", "half a head"])
def test_head_that_does_not_come_is_not_waited_for(central: Central, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(slow_heads, "HEAD_SECONDS", 0.5)
    with serving(central), connected(central) as connection:
        connection.sendall(begun)
        began = time.monotonic()
        assert answered(connection) == b""
    assert 0.3 < time.monotonic() - began < 10


def drip(connection: socket.socket, *, seconds: float) -> None:
    """Send one header after the other, for ever."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(b"X: y\r\n")
        time.sleep(0.1)


def test_head_that_drips_gains_no_time(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_heads, "HEAD_SECONDS", 0.5)
    with serving(central), connected(central) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            drip(connection, seconds=10)


def test_connection_is_good_for_several_requests(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_heads, "HEAD_SECONDS", 3.0)
    with serving(central), connected(central) as connection:
        for _ in range(4):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(1.0)


def test_body_that_does_not_come_is_not_waited_for(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "BODY_SECONDS", 0.5)
    with serving(central), connected(central) as connection:
        connection.sendall(b"POST /api/v1/sites/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert answered(connection).startswith(b"HTTP/1.1 408 ")


def test_head_that_is_too_long_is_refused(central: Central) -> None:
    with serving(central), connected(central) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (2 * slow_heads.MAX_HEAD_BYTES))
        assert answered(connection).startswith(b"HTTP/1.1 400 ")


def limited(central: Central, **rates: str) -> Central:
    central.settings = central.settings.model_copy(update=rates)
    return central


def test_address_that_asks_too_often_is_told_when_to_come_again(central: Central) -> None:
    with serving(limited(central, rate_per_address="3/minute")):
        answers = [httpx.get(f"{central.url}/healthz", trust_env=False) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].headers["content-type"] == "application/problem+json"


def test_tokens_cannot_be_tried_out_at_speed(central: Central) -> None:
    with serving(limited(central, rate_sign_in="2/minute")):
        tries = [httpx.post(f"{central.url}/api/v1/token", data={"x": "y"}, trust_env=False) for _ in range(3)]
        assert [answer.status_code for answer in tries] == [400, 400, 429]
        assert httpx.get(f"{central.url}/healthz", trust_env=False).status_code == 200


def test_each_site_and_network_has_its_own_limit() -> None:
    limits = Limits(Settings(rate_per_site="1/minute", rate_per_address="1/minute"))
    limits.check_site("hospital-a")
    limits.check_site("hospital-b")
    with pytest.raises(TooMany, match=r"ask again in \d+ seconds"):
        limits.check_site("hospital-a")
    limits.check_address("2001:db8::1", "/healthz")
    limits.check_address("2001:db8:0:1::1", "/healthz")
    with pytest.raises(TooMany):
        limits.check_address("2001:db8::ffff", "/healthz")  # the same /64


def test_addresses_that_ask_no_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "SWEEP_SECONDS", 0.0)
    limits = Limits(Settings(rate_per_address="5/second"))
    for number in range(1000):
        limits.check_address(f"10.0.{number // 250}.{number % 250}", "/healthz")
    until = time.monotonic() + 30
    while limits.known > 1 and time.monotonic() < until:
        time.sleep(0.3)
        limits.check_address("10.9.9.9", "/healthz")
    assert limits.known == 1


def test_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="rate_per_site"):
        Settings(rate_per_site="often")


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/releases", "/api/v1/docs", "/nothing", "/tuf/metadata/1.root.json"])
def test_every_answer_tells_browsers_to_be_careful(central: Central, path: str) -> None:
    with serving(central):
        answer = httpx.get(central.url + path, trust_env=False)
    assert set(HEADERS) <= {name.title() for name in answer.headers} | {"X-Content-Type-Options", "X-Frame-Options"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "strict-transport-security" not in answer.headers  # over plain HTTP browsers must ignore it
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/healthz", 405),
        ("GET", "/api/v1/releases/mob/7", 404),
        ("GET", "/api/v1/releases?limit=0", 422),
        ("POST", "/api/v1/sites/enrol", 422),
        ("POST", "/api/v1/token", 400),
        ("GET", "/api/v1/sites/me", 401),
        ("GET", "/api/v1/admin/sites", 401),
    ],
)
def test_every_refusal_is_a_problem_detail(central: Central, method: str, path: str, status: int) -> None:
    with serving(central):
        answer = httpx.request(method, central.url + path, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    said = answer.json()
    assert (said["status"], said["type"]) == (status, "about:blank")
    assert said["title"]
    assert said["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_request_is_one_line_without_its_secrets(central: Central, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), serving(central):
        httpx.get(
            f"{central.url}/nothing%0aINFO forged?token=s3cret",
            headers={"Authorization": "Bearer s3cret"},
            trust_env=False,
        )
    (line,) = (record for record in caplog.records if record.name == "c2lst.requests")
    assert line.getMessage().startswith("GET /nothing?INFO forged 404 in ")
    assert "s3cret" not in line.getMessage() + str(line.__dict__)


def test_json_lines_can_be_read_by_machines(capsys: pytest.CaptureFixture[str]) -> None:
    formatter = log_config(LogFormat.JSON)["formatters"]["line"]
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"a.test": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
    }
    logging.config.dictConfig(config)
    logging.getLogger("a.test").info("%(path)s\n", {"path": "/x"}, extra={"path": "/x", "status": 404})
    said = json.loads(capsys.readouterr().err)
    assert (said["level"], said["path"], said["status"], said["message"]) == ("INFO", "/x", 404, "/x\n")
    assert "time" in said
