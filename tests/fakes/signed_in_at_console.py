"""Somebody who is signed in at a console, without a browser: a client that sends forms as a browser would."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx
from starlette.testclient import TestClient

from c2lst_client.console.access_token import read_token
from c2lst_client.console.app import create_app
from c2lst_client.console.kept_sessions import KeptSessions
from c2lst_client.home import Home
from c2lst_client.settings import Settings

LOCAL = "http://127.0.0.1:8470"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]+)"')


def open_console(home: Home, *, url: str = LOCAL, sessions: KeptSessions | None = None) -> TestClient:
    """A browser that nobody is signed in at."""
    app = create_app(Settings(home=home.path), read_token(home), sessions=sessions)
    return TestClient(app, base_url=url, follow_redirects=False)


def show_token(http: TestClient, token: str, **fields: str) -> httpx.Response:
    """Fill in the sign-in form."""
    return http.post("/sign-in", data={"token": token, **fields}, headers={"Origin": str(http.base_url).rstrip("/")})


@dataclass
class AtConsole:
    """A browser with a session."""

    http: TestClient
    home: Home

    def page(self, path: str, status: int = 200) -> str:
        answer = self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.text

    @property
    def csrf(self) -> str:
        """What its forms carry."""
        found = _TOKEN.search(self.page("/policy"))
        assert found
        return found[1]

    def send(self, path: str, *, csrf: str | None = None, origin: str | None = None, **fields: object) -> httpx.Response:
        """Send a form of the session, or one with another token or from elsewhere."""
        form = {"csrf": self.csrf if csrf is None else csrf, **fields}
        return self.http.post(path, data=form, headers={"Origin": origin or str(self.http.base_url).rstrip("/")})

    def done(self, path: str, **fields: object) -> str:
        """Send a form that is carried out; return the page that it leads to."""
        answer = self.send(path, **fields)
        assert answer.status_code == 303, answer.text
        return self.page(answer.headers["location"])


def sign_in(home: Home, *, url: str = LOCAL) -> AtConsole:
    """Sign in with the token of a state folder."""
    http = open_console(home, url=url)
    assert show_token(http, read_token(home)).status_code == 303
    return AtConsole(http, home)
