"""One client, one server, one list of messages; and nothing that the other side says is believed beyond its bounds."""

from __future__ import annotations

import json
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from fakes.answering import answering, connected, replying
from pydantic import SecretStr

from c2lst_client.audit import AuditLog, verify_chain
from c2lst_client.egress import MAX_PROBLEM_BYTES, MAX_REPLY_BYTES, USER_AGENT, Egress, HttpStatus
from c2lst_shared.errors import BadArtefact, BadInput, TransferFailed
from c2lst_shared.wire import EnrolmentReply, EnrolmentRequest

PEM = "-----BEGIN PUBLIC KEY-----\nMHYw\n-----END PUBLIC KEY-----\n"
REQUEST = EnrolmentRequest(token=SecretStr("s3cret"), public_key_pem=PEM)
REPLY = b'{"site": "a", "enrolled": "2026-01-01T00:00:00Z", "key_fingerprint": "' + b"0" * 64 + b'", "more": 1}'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def lines(log: Path) -> list[dict[str, object]]:
    assert verify_chain(log) > 0
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_message_is_sent_and_written_down_without_its_secret(log: Path) -> None:
    with connected(replying(REPLY), log) as egress:
        assert egress.send(REQUEST, EnrolmentReply).site == "a"
    (line,) = lines(log)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/sites/enrol", 200)
    assert (line["bytes_out"], line["bytes_in"]) == (len(REQUEST.body()), len(REPLY))
    assert (line["message"], line["content"]) == ("EnrolmentRequest", {"token": "**********", "public_key_pem": PEM})
    assert "s3cret" not in log.read_text()


def test_request_says_nothing_about_the_site(log: Path) -> None:
    seen: list[dict[str, str]] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        seen.append({name.lower(): value for name, value in request.headers.items() if name.lower() != "host"})
        replying(b"x")(request)

    with connected(note, log) as egress:
        assert b"".join(egress.download("/tuf/x", limit=1)) == b"x"
    assert seen == [
        {
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "keep-alive",
            "user-agent": USER_AGENT,
        }
    ]


def test_download_longer_than_its_limit_is_cut_off(log: Path) -> None:
    with connected(replying(b"x" * 101), log) as egress, pytest.raises(BadArtefact, match="longer than 100 bytes"):
        b"".join(egress.download("/tuf/x", limit=100))


def test_download_as_long_as_its_limit_is_whole(log: Path) -> None:
    with connected(replying(b"x" * 101), log) as egress:
        assert len(b"".join(egress.download("/tuf/x", limit=101))) == 101


def test_reply_longer_than_any_message_is_cut_off(log: Path) -> None:
    with (
        connected(replying(b" " * (MAX_REPLY_BYTES + 1)), log) as egress,
        pytest.raises(BadArtefact, match=f"longer than {MAX_REPLY_BYTES} bytes"),
    ):
        egress.send(REQUEST, EnrolmentReply)


def test_redirect_is_not_followed(log: Path) -> None:
    hits: list[str] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        hits.append(request.path)
        replying(b"")(request)

    with answering(note) as elsewhere:
        moved = replying(b"", 302, Location=f"{elsewhere}/taken")
        with (
            connected(moved, log) as egress,
            pytest.raises(HttpStatus, match=r"another address \(302\), which is not followed"),
        ):
            egress.send(REQUEST, EnrolmentReply)
    assert hits == []


def test_refusal_is_said_in_the_words_of_the_server_made_printable(log: Path) -> None:
    body = json.dumps({"detail": "No \x1b[31mred\n words; " + "x" * 1000}).encode()
    answer = replying(body, 403)
    with connected(answer, log) as egress, pytest.raises(HttpStatus, match=r"^No \[31mred words; x+$") as refused:
        egress.send(REQUEST, EnrolmentReply)
    assert refused.value.status == 403
    assert len(str(refused.value)) <= 300
    assert lines(log)[0]["status"] == 403


def test_error_page_of_any_length_is_only_begun(log: Path) -> None:
    with (
        connected(replying(b"<html>" * 1_000_000, 404), log) as egress,
        pytest.raises(HttpStatus, match="/tuf/x answered 404") as refused,
    ):
        b"".join(egress.download("/tuf/x", limit=10))
    assert refused.value.status == 404
    received = lines(log)[0]["bytes_in"]
    assert isinstance(received, int)
    assert MAX_PROBLEM_BYTES <= received < 1_000_000


def test_answer_of_something_else_is_named(log: Path) -> None:
    with (
        connected(replying(b"<html>Welcome</html>"), log) as egress,
        pytest.raises(TransferFailed, match="did not answer with EnrolmentReply; check"),
    ):
        egress.send(REQUEST, EnrolmentReply)


def test_server_that_is_not_there_is_named_and_the_attempt_written_down(log: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Egress(url, AuditLog(log)) as egress, pytest.raises(TransferFailed, match=f"{url} cannot be reached"):
        egress.send(REQUEST, EnrolmentReply)
    (line,) = lines(log)
    assert (line["message"], line["bytes_out"]) == ("EnrolmentRequest", 0)
    assert not {"status", "content"} & line.keys()


def test_connection_that_breaks_off_is_named(log: Path) -> None:
    def break_off(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 10)

    with (
        connected(break_off, log) as egress,
        pytest.raises(TransferFailed, match=r"cannot be reached .*; check the network and run again"),
    ):
        b"".join(egress.download("/tuf/x", limit=1000))
    assert lines(log)[0]["bytes_in"] == 10


def test_proxy_and_password_of_the_environment_are_not_used(log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    seen: list[str | None] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        replying(b"x")(request)

    with connected(note, log) as egress:
        assert b"".join(egress.download("/tuf/x", limit=1)) == b"x"
    assert seen == [None]


def test_proxy_that_is_set_for_c2lst_is_used(log: Path) -> None:
    asked: list[str] = []

    def note(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        replying(b"x")(request)

    with answering(note) as proxy, Egress("http://central.invalid", AuditLog(log), proxy=proxy) as egress:
        assert b"".join(egress.download("/tuf/x", limit=1)) == b"x"
    assert asked == ["http://central.invalid/tuf/x"]


@pytest.mark.parametrize("proxy", ["nonsense", "ftp://proxy"])
def test_unusable_proxy_is_refused(log: Path, proxy: str) -> None:
    with pytest.raises(BadInput, match=f"proxy '{proxy}' cannot be used"):
        Egress("http://127.0.0.1:9", AuditLog(log), proxy=proxy)


def test_unusable_certificate_authority_is_refused(log: Path) -> None:
    with pytest.raises(BadInput, match="certificate authority"):
        Egress("https://127.0.0.1:9", AuditLog(log), ca_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


@pytest.mark.parametrize(
    "path", ["/tuf/../x", "/tuf/x?spots=1", "/tuf/a b", "tuf/x", "//evil/x", "http://evil/x", "/tuf/", "/tuf/%2e"]
)
def test_path_that_could_carry_something_is_not_asked_for(log: Path, path: str) -> None:
    with (
        Egress("http://127.0.0.1:9", AuditLog(log)) as egress,
        pytest.raises(BadArtefact, match="is no path that c2lst asks for"),
    ):
        b"".join(egress.download(path, limit=1))
    assert not log.exists()


def test_every_error_of_the_http_library_is_translated() -> None:
    translated = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict)
    errors = [thing for thing in vars(httpx).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert len(errors) > 20
    assert [error for error in errors if not issubclass(error, translated)] == []
