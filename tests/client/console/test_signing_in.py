"""Who gets in at the console, by which name, for how long; what a form must show before anything is done."""

from __future__ import annotations

import json
import stat
from datetime import timedelta

import pytest
from fakes.console_site import WAITING
from fakes.signed_in_at_console import LOCAL, AtConsole, open_console, show_token, sign_in

from c2lst_client.console.access_token import read_token
from c2lst_client.console.door import is_own_name
from c2lst_client.console.kept_sessions import MOST, KeptSessions
from c2lst_client.console.signing_in import MOST_FAILED, own_address
from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_shared.errors import BadArtefact

PAGES = ("/", "/rounds", "/policy", "/slides", "/record", "/record/download", "/doctor", "/no-such-page")


def test_token_is_made_once_and_for_its_owner_alone(empty: Home) -> None:
    token = read_token(empty)
    assert read_token(empty) == token
    assert stat.S_IMODE(empty.console_token.stat().st_mode) == 0o600
    assert stat.S_IMODE(empty.console.stat().st_mode) == 0o700
    empty.console_token.chmod(0o644)
    with pytest.raises(BadArtefact, match="Others can read"):
        read_token(empty)


@pytest.mark.parametrize("path", PAGES)
def test_stranger_is_led_to_the_sign_in_and_sees_nothing(empty: Home, path: str) -> None:
    answer = open_console(empty).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert answer.text == ""


def test_events_are_for_those_who_are_signed_in(empty: Home) -> None:
    assert open_console(empty).get("/live").status_code == 401


def test_other_token_opens_nothing_and_a_few_of_them_end_the_trying(empty: Home) -> None:
    http = open_console(empty)
    for _ in range(MOST_FAILED):
        refused = show_token(http, "x" * 43)
        assert refused.status_code == 403
        assert "not the token" in refused.text
        assert "set-cookie" not in refused.headers
    refused = show_token(http, read_token(empty))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


def test_session_ends_with_the_sign_out(at: AtConsole) -> None:
    identifier = dict(at.http.cookies)
    assert at.send("/sign-out").headers["location"] == "/sign-in"
    at.http.cookies.update(identifier)  # kept by somebody
    assert at.http.get("/").status_code == 303


def test_session_that_is_not_used_ends(empty: Home) -> None:
    sessions = KeptSessions(empty.console_sessions, read_token(empty), who="somebody", idle=timedelta(0))
    http = open_console(empty, sessions=sessions)
    assert show_token(http, read_token(empty)).status_code == 303
    assert http.get("/").headers["location"] == "/sign-in"


def test_page_that_asks_by_itself_keeps_no_session_alive(empty: Home) -> None:
    sessions = KeptSessions(empty.console_sessions, "token", who="somebody", idle=timedelta(hours=1))
    identifier = sessions.open().identifier
    (kept,) = sessions._file.sessions.values()
    before = kept.idle_until
    assert sessions.find(identifier, used=False)
    assert kept.idle_until == before
    assert sessions.find(identifier)
    assert kept.idle_until > before


def test_sessions_outlast_a_restart_but_not_another_token(empty: Home) -> None:
    at = sign_in(empty)
    again = open_console(empty)
    again.cookies.update(dict(at.http.cookies))
    assert again.get("/").status_code == 200
    read_token(empty, renew=True)
    other = open_console(empty)
    other.cookies.update(dict(at.http.cookies))
    assert other.get("/").status_code == 303


def test_session_ends_however_much_it_is_used_and_there_are_only_so_many(empty: Home) -> None:
    short = KeptSessions(empty.console_sessions, "token", who="somebody", longest=timedelta(0))
    assert short.find(short.open().identifier) is None
    sessions = KeptSessions(empty.console_sessions, "token", who="somebody")
    first, *others = (sessions.open().identifier for _ in range(MOST + 1))
    assert sessions.find(first) is None
    assert all(sessions.find(each) for each in others)


def test_file_of_sessions_opens_none(empty: Home) -> None:
    at = sign_in(empty)
    (identifier,) = dict(at.http.cookies).values()
    text = empty.console_sessions.read_text()
    assert identifier not in text
    assert read_token(empty) not in text
    other = open_console(empty)
    name = next(iter(dict(at.http.cookies)))
    for kept in json.loads(text)["sessions"]:
        other.cookies.set(name, kept)
        assert other.get("/").status_code == 303


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8470", "localhost.evil.example", "", "10.0.0.1:8470", "[::2]"],
)
@pytest.mark.parametrize("path", ["/", "/sign-in", "/live", "/assets/x/style.css"])
def test_name_of_another_machine_is_refused_before_anything_else(at: AtConsole, host: str, path: str) -> None:
    answer = at.http.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "127.0.0.1" in answer.text


@pytest.mark.parametrize("url", ["http://localhost:8470", "http://127.0.0.1:9000"])
def test_names_of_this_machine_are_answered_at_any_port(empty: Home, url: str) -> None:
    assert sign_in(empty, url=url).page("/")


@pytest.mark.parametrize(
    ("hosts", "own"),
    [
        (["[::1]:8470"], True),
        (["[::1]"], True),
        (["LOCALHOST"], True),
        (["127.0.0.1"], True),
        (["127.0.0.1:x"], False),
        (["127.0.0.1:80:80"], False),
        (["[::1]evil"], False),
        (["localhost", "evil.example"], False),
        ([], False),
    ],
)
def test_only_one_plain_name_of_loopback_counts(hosts: list[str], own: bool) -> None:
    assert is_own_name(hosts) is own


@pytest.mark.parametrize(
    ("csrf", "origin"),
    [("", None), ("0" * 64, None), (None, "http://127.0.0.1:9999"), (None, "https://evil.example"), (None, "null")],
)
def test_forged_form_does_nothing(at: AtConsole, csrf: str | None, origin: str | None) -> None:
    answer = at.send(f"/rounds/{WAITING}/approve", csrf=csrf, origin=origin, slide="rep11")
    assert answer.status_code == 403
    assert "load the page again" in answer.text
    found = JobQueue(at.home.round_queue).find(WAITING)
    assert found is not None
    assert found.state == "waiting"


def test_sign_in_from_another_site_is_refused(empty: Home) -> None:
    http = open_console(empty)
    answer = http.post("/sign-in", data={"token": read_token(empty)}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_form_that_is_none_or_too_long_is_refused(at: AtConsole) -> None:
    origin = {"Origin": LOCAL}
    assert at.http.post("/policy", json={"csrf": at.csrf}, headers=origin).status_code == 400
    assert at.send("/policy", organs="x" * 40_000).status_code == 400


def test_cookie_is_for_this_console_alone(empty: Home) -> None:
    answer = show_token(open_console(empty), read_token(empty))
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("c2lst-session-8470=")
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}


@pytest.mark.parametrize(
    "address",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", "", "\\/x", "/\u00e9"],
)
def test_sign_in_leads_nowhere_else(address: str) -> None:
    assert own_address(address) == "/"
    assert own_address("/record?schema=RoundResult") == "/record?schema=RoundResult"


def test_sign_in_leads_where_one_wanted_to_go(empty: Home) -> None:
    http = open_console(empty)
    location = http.get("/record?schema=none").headers["location"]
    assert location == "/sign-in?next=/record%3Fschema%3Dnone"
    assert show_token(http, read_token(empty), next="/record?schema=none").headers["location"] == "/record?schema=none"
