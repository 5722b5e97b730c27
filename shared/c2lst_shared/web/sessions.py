"""Who is signed in at a browser: an opaque random identifier in a cookie, and all else on this side.

A session ends when it was not used for a while, at its end however much it is used, and when somebody signs out. What is kept
is the digest of the identifier, so that reading the store opens no session.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from c2lst_shared.web.cookies import cookie_name, set_cookie
from c2lst_shared.web.forms import csrf_token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

COOKIE = "c2lst-session"
IDLE = timedelta(minutes=30)  # without anything done in it
LONGEST = timedelta(hours=12)
LIVE_HEADER = "x-c2lst-live"  # page.js sends it: what a page asks by itself does not keep a session alive


@dataclass(frozen=True)
class BrowserSession:
    """One session that is open."""

    identifier: str  # secret: what the cookie holds
    who: str

    @property
    def csrf(self) -> str:
        """The token of its forms."""
        return csrf_token(self.identifier)


def new_identifier() -> str:
    """Return an identifier that cannot be guessed."""
    return secrets.token_urlsafe(32)


def digest(identifier: str) -> str:
    """Return what is kept of an identifier."""
    return hashlib.sha256(identifier.encode()).hexdigest()


def shown_identifier(request: Request) -> str | None:
    """Return the identifier that the browser shows; whether it opens anything, the store says."""
    return request.cookies.get(cookie_name(request, COOKIE))


def is_used(request: Request) -> bool:
    """Say whether a person asks, and not the page by itself."""
    return LIVE_HEADER not in request.headers


def give_cookie(request: Request, response: Response, identifier: str) -> None:
    """Let the browser show `identifier` from now on."""
    set_cookie(request, response, COOKIE, identifier, seconds=round(LONGEST.total_seconds()))


def take_cookie(request: Request, response: Response) -> None:
    """Let the browser forget its session."""
    set_cookie(request, response, COOKIE, "", seconds=0)
