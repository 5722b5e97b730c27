"""Nobody sees a page without a session, and a session ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes.central import Central
from fakes.signed_in import LOCAL, SignedIn, browser_of, sign_in_as
from fastapi import FastAPI

from c2lst_server import administrators
from c2lst_server.administrators import Scope
from c2lst_server.dashboard import sessions
from c2lst_server.errors import Unauthorised
from c2lst_shared.web.sessions import IDLE, LONGEST

PAGES = ["", "/releases", "/releases/mob/1", "/trainings", "/trainings/new", "/sites", "/sites/enrol", "/sites/hospital-a",
         "/sites/hospital-a/remove", "/rounds", "/rounds/new", "/audit", "/nowhere"]  # fmt: skip


def test_stranger_is_led_to_sign_in_and_back(app: FastAPI) -> None:
    for page in PAGES:
        answer = browser_of(app).get(f"/dashboard{page}", follow_redirects=False)
        back = f"?next=/dashboard{page}" if page else ""
        assert (answer.status_code, answer.headers["location"]) == (303, f"/dashboard/sign-in{back}")


def test_address_of_the_server_alone_leads_to_the_dashboard(app: FastAPI) -> None:
    assert browser_of(app).get("/", follow_redirects=False).headers["location"] == "/dashboard"


def test_unknown_token_is_refused_and_not_repeated(app: FastAPI) -> None:
    for token in ("", "password", "x" * 43):
        answer = browser_of(app).post("/dashboard/sign-in", data={"token": token}, headers={"Origin": LOCAL})
        assert answer.status_code == 401
        assert "This token is not known, or it has run out." in answer.text
        assert not token or f'"{token}"' not in answer.text.replace('type="password"', "")
        assert "set-cookie" not in answer.headers


def test_session_is_shown_by_a_cookie_that_no_script_and_no_other_site_uses(central: Central, app: FastAPI) -> None:
    with central.session() as session:
        token = administrators.add(session, "ada", list(Scope), days=1)
    for url, name, secure in (
        (LOCAL, "c2lst-session-8000", False),
        ("https://central.example.org", "__Host-c2lst-session", True),
    ):
        form = {"data": {"token": token}, "headers": {"Origin": url}, "follow_redirects": False}
        cookie = browser_of(app, url).post("/dashboard/sign-in", **form).headers["set-cookie"]
        assert cookie.startswith(f"{name}=")
        assert ("Secure" in cookie) is secure
        for part in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie


def test_database_keeps_no_session_that_could_be_shown(central: Central, ada: SignedIn) -> None:
    (identifier,) = ada.http.cookies.values()
    assert identifier.encode() not in central.stored()


def test_sign_in_from_another_page_is_refused(app: FastAPI, ada: SignedIn) -> None:
    for headers in ({"Origin": "https://evil.example.org"}, {"Origin": "null"}, {}, {"Sec-Fetch-Site": "cross-site"}):
        answer = browser_of(app).post("/dashboard/sign-in", data={"token": ada.token}, headers=headers)
        assert answer.status_code == 403
        assert "did not come from a page of this session" in answer.text


def test_signing_in_leads_to_pages_of_the_dashboard_only(app: FastAPI, ada: SignedIn) -> None:
    own = {"/dashboard/sites": "/dashboard/sites", "/dashboard/rounds?offset=25": "/dashboard/rounds?offset=25"}
    foreign = (
        "https://evil.example.org/",
        "//evil.example.org/dashboard/",
        "/dashboard/\\evil.example.org",
        "javascript:alert(1)",
        "/dashboard/\r\nX: y",
    )
    for after, led_to in (own | dict.fromkeys(foreign, "/dashboard")).items():
        form = {"token": ada.token, "next": after}
        answer = browser_of(app).post("/dashboard/sign-in", data=form, headers={"Origin": LOCAL}, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, led_to)


def test_signing_out_ends_the_session_on_the_server(app: FastAPI, ada: SignedIn) -> None:
    cookies = dict(ada.http.cookies)
    assert "ada is signed out." in ada.done("/sign-out")
    again = browser_of(app)
    again.cookies.update(cookies)
    assert again.get("/dashboard", follow_redirects=False).status_code == 303


@pytest.mark.both_databases
class TestSessions:
    """What the database says of a session."""

    def open_one(self, central: Central, now: datetime) -> str:
        with central.session() as session:
            return sessions.sign_in(session, administrators.add(session, "ada", list(Scope), days=90), now)

    def is_open(self, central: Central, identifier: str, now: datetime, *, used: bool = True) -> bool:
        with central.session() as session:
            return sessions.find(session, identifier, used=used, now=now) is not None

    def test_ends_when_it_is_not_used(self, central: Central) -> None:
        now = datetime.now(UTC)
        identifier = self.open_one(central, now)
        assert self.is_open(central, identifier, now + IDLE - timedelta(seconds=1))
        assert self.is_open(central, identifier, now + 2 * IDLE - timedelta(seconds=2))
        assert not self.is_open(central, identifier, now + 3 * IDLE)

    def test_is_not_kept_alive_by_a_page_that_asks_by_itself(self, central: Central) -> None:
        now = datetime.now(UTC)
        identifier = self.open_one(central, now)
        assert self.is_open(central, identifier, now + IDLE - timedelta(seconds=1), used=False)
        assert not self.is_open(central, identifier, now + IDLE + timedelta(seconds=1))

    def test_ends_however_much_it_is_used(self, central: Central) -> None:
        now = datetime.now(UTC)
        identifier, passed = self.open_one(central, now), timedelta()
        while passed < LONGEST - IDLE:
            passed += IDLE / 2
            assert self.is_open(central, identifier, now + passed)
        assert not self.is_open(central, identifier, now + LONGEST)

    @pytest.mark.parametrize("how", ["remove", "add"])
    def test_ends_with_the_token_it_was_opened_with(self, central: Central, how: str) -> None:
        now = datetime.now(UTC)
        identifier = self.open_one(central, now)
        with central.session() as session:
            if how == "remove":
                administrators.remove(session, "ada")
            else:
                administrators.add(session, "ada", list(Scope), days=90)
        assert not self.is_open(central, identifier, now)

    def test_is_not_opened_by_a_token_that_has_run_out(self, central: Central) -> None:
        with central.session() as session:
            token = administrators.add(session, "ada", list(Scope), days=1)
            with pytest.raises(Unauthorised):
                sessions.sign_in(session, token, datetime.now(UTC) + timedelta(days=2))

    def test_of_one_administrator_are_bounded(self, central: Central) -> None:
        now = datetime.now(UTC)
        with central.session() as session:
            token = administrators.add(session, "ada", list(Scope), days=90)
            opened = [
                sessions.sign_in(session, token, now + timedelta(seconds=number))
                for number in range(sessions.MOST_SESSIONS + 1)
            ]
        late = now + timedelta(seconds=30)
        assert [self.is_open(central, identifier, late) for identifier in opened] == [False] + [True] * sessions.MOST_SESSIONS


def test_live_region_does_not_keep_the_session_alive(central: Central, app: FastAPI, ada: SignedIn) -> None:
    from c2lst_server.db.models import AdministratorSession

    long_ago = datetime.now(UTC) - IDLE + timedelta(minutes=1)
    with central.session() as session:
        session.query(AdministratorSession).update({"used": long_ago})
        session.commit()
    assert ada.http.get("/dashboard", headers={"X-C2lst-Live": "1"}).status_code == 200
    with central.session() as session:
        assert session.query(AdministratorSession).one().used == long_ago
    assert ada.http.get("/dashboard").status_code == 200
    with central.session() as session:
        assert session.query(AdministratorSession).one().used > long_ago + timedelta(minutes=20)


def test_tokens_cannot_be_tried_out_at_speed(central: Central) -> None:
    from c2lst_server.app import create_app

    central.settings = central.settings.model_copy(update={"rate_sign_in": "2/minute"})
    http = browser_of(create_app(central.settings))
    tries = [http.post("/dashboard/sign-in", data={"token": "x"}, headers={"Origin": LOCAL}) for _ in range(3)]
    assert [answer.status_code for answer in tries] == [401, 401, 429]


def test_two_administrators_have_a_session_each(central: Central, app: FastAPI, ada: SignedIn) -> None:
    grace = sign_in_as(central, app, "grace", administrators.GROUPS["read"])
    assert "<b>grace</b>" in grace.page("")
    assert "<b>ada</b>" in ada.page("")
    ada.done("/sign-out")
    assert "<b>grace</b>" in grace.page("")
