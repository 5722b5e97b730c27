"""SuperLink's view of the sites' nodes: each site sees itself and nobody else, the operator all of them."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import Central, serving
from fakes.superlink_view import superlink_seeing
from pydantic import SecretStr

from c2lst_server.cli import main
from c2lst_server.federation.link import PORT, Link
from c2lst_server.sites.access import grant
from c2lst_server.sites.enrolment import enrol
from c2lst_shared.flower.heartbeat import Heartbeat
from c2lst_shared.flower.supervisor import Event
from c2lst_shared.wire import EnrolmentFile, EnrolmentRequest, LinkReply, TokenRequest

LAST_SEEN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def token_of(central: Central, folder: Path, name: str) -> str:
    """Enrol a site and return an access token of it."""
    key = ec.generate_private_key(ec.SECP384R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    file = EnrolmentFile.model_validate_json(central.invite(folder / name, name=name).read_bytes())
    now = int(time.time())
    claims = {"iss": name, "sub": name, "aud": f"{file.server}/api/v1/token", "iat": now, "exp": now + 60}
    assertion = jwt.encode(claims | {"jti": secrets.token_urlsafe(24)}, key, algorithm="ES384")
    with central.session() as session:
        enrol(session, EnrolmentRequest(token=file.token, public_key_pem=public))
        return grant(session, TokenRequest(client_assertion=SecretStr(assertion))).access_token.get_secret_value()


def ask(central: Central, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{central.url}/api/v1/sites/me/link", headers=headers, trust_env=False)


def test_each_site_sees_itself_only(central: Central, tmp_path: Path) -> None:
    with serving(central):
        tokens = {name: token_of(central, tmp_path, name) for name in ("a", "b", "c")}
        with superlink_seeing(central, online={"a"}, offline={"b": LAST_SEEN}):
            answers = {name: ask(central, token) for name, token in tokens.items()}
        refused = ask(central, None), ask(central, "guessed")
    found = {name: LinkReply.model_validate_json(answer.content) for name, answer in answers.items()}
    assert {name: (each.site, each.state, each.since) for name, each in found.items()} == {
        "a": ("a", "online", None),
        "b": ("b", "offline", LAST_SEEN),
        "c": ("c", "never_linked", None),
    }
    assert {frozenset(answer.json()) for answer in answers.values()} == {frozenset(LinkReply.model_fields)}
    assert [answer.status_code for answer in refused] == [401, 401]


def test_superlink_that_is_away_is_an_answer_and_not_an_error(central: Central, tmp_path: Path) -> None:
    with serving(central):
        token = token_of(central, tmp_path, "a")
        never_started = ask(central, token).json()
        link = Link(central.home.superlink)
        link.renew_certificate()
        link.control_token()
        link.place.write_text("127.0.0.1:9")  # nobody listens there
        stopped = ask(central, token).json()
        link.place.write_text("127.0.0.1:nine")
        damaged = ask(central, token).json()
    assert [answer["state"] for answer in (never_started, stopped, damaged)] == ["superlink_away"] * 3


def test_superlink_is_asked_at_the_port_of_its_last_start(central: Central, tmp_path: Path) -> None:
    with serving(central):
        token = token_of(central, tmp_path, "a")
        with superlink_seeing(central) as asked:
            ask(central, token)
            asked[0].place.write_text("127.0.0.1:9100")
            ask(central, token)
    assert [link.port for link in asked] == [PORT, 9100]


@pytest.fixture
def server(central: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("C2LST_SERVER_HOME", str(central.home.path))

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["c2lst-server", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_status_names_the_sites_that_are_online(central: Central, tmp_path: Path, server) -> None:
    for name in ("a", "b"):
        token_of(central, tmp_path, name)
    assert "Sites online      SuperLink does not answer\n" in server("status")[1]
    with superlink_seeing(central, online={"b", "a"}):
        assert "Sites online      a, b\n" in server("status")[1]
        assert json.loads(server("status", "--json")[1])["online"] == ["a", "b"]
    with superlink_seeing(central):
        assert "Sites online      none\n" in server("status")[1]


def test_superlink_check_is_green_when_all_of_it_lives(central: Central, tmp_path: Path, server) -> None:
    assert server("superlink", "--check") == (1, "", "`c2lst-server superlink` does not run here; start it.\n")
    token_of(central, tmp_path, "a")
    with Heartbeat(Link(central.home.superlink).processes, ["superlink", "runs"]) as heartbeat:
        assert "its superlink and runs do not; see" in server("superlink", "--check")[2]
        for name in ("superlink", "runs"):
            heartbeat.hear(Event(name=name, state="running", pid=os.getpid()))
        code, said, _ = server("superlink", "--check")
        assert (code, said.endswith("SuperLink does not answer yet.\n")) == (0, True)
        code, _, said = server("superlink", "--check", "--grace", "0")
        assert (code, said.startswith("No SuperLink was started in this home yet")) == (1, True)
        with superlink_seeing(central, online={"a"}):
            code, said, _ = server("superlink", "--check", "--grace", "0")
            assert (code, said.endswith("and answers; sites online: a.\n")) == (0, True)
            assert json.loads(server("superlink", "--check", "--json")[1])["online"] == ["a"]


def test_check_of_a_home_that_is_none_ends_with_1(tmp_path: Path, server) -> None:
    code, _, error = server("superlink", "--check", "--home", str(tmp_path / "empty"))
    assert (code, "is not initialised" in error) == (1, True)
