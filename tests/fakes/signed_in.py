"""An administrator who is signed in at the dashboard, without a browser: a client that sends forms as a browser would."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from starlette.testclient import TestClient

from c2lst_server import administrators
from c2lst_server.administrators import Scope
from fakes.central import Central

LOCAL = "http://127.0.0.1:8000"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]+)"')


@dataclass
class SignedIn:
    """A browser with a session."""

    http: TestClient
    token: str

    @property
    def origin(self) -> str:
        return str(self.http.base_url).rstrip("/")

    def page(self, path: str) -> str:
        answer = self.http.get(f"/dashboard{path}")
        assert answer.status_code == 200, answer.text
        return answer.text

    @property
    def csrf(self) -> str:
        """What its forms carry."""
        found = _TOKEN.search(self.page(""))
        assert found
        return found[1]

    def send(self, path: str, *, csrf: str | None = None, origin: str | None = None, **fields: object) -> httpx.Response:
        """Send a form of the session, or one with another token or from elsewhere."""
        form = {"csrf": self.csrf if csrf is None else csrf, **fields}
        return self.http.post(f"/dashboard{path}", data=form, headers={"Origin": origin or self.origin}, follow_redirects=False)

    def done(self, path: str, **fields: object) -> str:
        """Send a form that is carried out; return the page that it leads to."""
        answer = self.send(path, **fields)
        assert answer.status_code == 303, answer.text
        return self.http.get(answer.headers["location"]).text


def browser_of(app: FastAPI, url: str = LOCAL) -> TestClient:
    """A browser that nobody is signed in at."""
    return TestClient(app, base_url=url, raise_server_exceptions=True)


def sign_in_as(central: Central, app: FastAPI, name: str, scopes: Sequence[Scope], url: str = LOCAL) -> SignedIn:
    """Make an administrator and sign in."""
    with central.session() as session:
        token = administrators.add(session, name, scopes, days=90)
    http = browser_of(app, url)
    answer = http.post("/dashboard/sign-in", data={"token": token}, headers={"Origin": url}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return SignedIn(http, token)
