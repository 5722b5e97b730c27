"""Forms that only our own pages can have sent, and the message that says what came of one.

A form is taken when it carries the token of the session and comes from this very origin (Origin, or Sec-Fetch-Site where a
browser leaves that out). The token is derived from the session's identifier, so nothing has to be kept for it, and who has
read a page of one session can do nothing with it in another.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlsplit

from c2lst_shared.errors import BadInput
from c2lst_shared.web.cookies import cookie_name, set_cookie

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FLASH_COOKIE = "c2lst-flash"
FLASH_SECONDS = 60
LONGEST_FLASH = 1000  # characters; a cookie holds about 4000 bytes
FORGED = "This form did not come from a page of this session; load the page again and repeat what you did."

Tone = Literal["good", "warn", "bad"]


class Forged(BadInput):
    """A request that changes something did not come from a page that this session was shown."""


@dataclass(frozen=True)
class Flash:
    """What came of a form, shown on the next page."""

    tone: Tone
    sentence: str


def csrf_token(identifier: str) -> str:
    """Return the token that every form of the session has to carry."""
    return hmac.digest(identifier.encode(), b"c2lst form", "sha256").hex()


def check_form(request: Request, identifier: str, token: str) -> None:
    """Check that a form was sent by a page of this session.

    Raises:
        Forged: it was not.
    """
    check_origin(request)
    if not hmac.compare_digest(csrf_token(identifier).encode(), token.encode()):
        raise Forged(FORGED)


def check_origin(request: Request) -> None:
    """Check that a request comes from a page of this origin.

    Raises:
        Forged: it comes from another one, or the browser does not say from which.
    """
    origin = request.headers.get("origin")
    if origin is None:
        own = request.headers.get("sec-fetch-site") == "same-origin"
    else:
        own = urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise Forged(FORGED)


def leave_flash(request: Request, response: Response, tone: Tone, sentence: str) -> None:
    """Let the next page show `sentence`."""
    text = quote(json.dumps([tone, sentence[:LONGEST_FLASH]]))
    set_cookie(request, response, FLASH_COOKIE, text, seconds=FLASH_SECONDS)


def take_flash(request: Request) -> Flash | None:
    """Return what the last form left, None when it left nothing that can be read."""
    text = request.cookies.get(cookie_name(request, FLASH_COOKIE), "")
    try:
        tone, sentence = json.loads(unquote(text))
    except (ValueError, TypeError):
        return None
    known = tone in ("good", "warn", "bad") and isinstance(sentence, str)
    return Flash(tone, sentence[:LONGEST_FLASH]) if known else None


def forget_flash(request: Request, response: Response) -> None:
    """Do not show it again."""
    if cookie_name(request, FLASH_COOKIE) in request.cookies:
        set_cookie(request, response, FLASH_COOKIE, "", seconds=0)
