"""Signing in with the console's token, and out."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from c2lst_client.console.door import SIGN_IN
from c2lst_client.console.reading_forms import Form, read_strangers_form
from c2lst_client.console.site_console import Console, acting, showing
from c2lst_shared.web.pages import render
from c2lst_shared.web.sessions import give_cookie, take_cookie

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger(__name__)

ABOUT = "The console of this institution. It runs on this machine, and nothing that it shows leaves it."
HOW = "Where is the token?"
COMMAND = "c2lst-client console --show-token"
MOST_FAILED = 5  # sign-ins in WINDOW
WINDOW = 60.0  # seconds


class Attempts:
    """Counts sign-ins that failed; all of them come from this machine, so that there is one count for all."""

    def __init__(self) -> None:
        self._failed: deque[float] = deque(maxlen=MOST_FAILED)
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Return the seconds until the next one is looked at; 0 = now."""
        with self._lock:
            full = len(self._failed) == MOST_FAILED
            return max(0.0, self._failed[0] + WINDOW - time.monotonic()) if full else 0.0

    def failed(self) -> None:
        """Note one that failed."""
        with self._lock:
            self._failed.append(time.monotonic())


def routes(token: str) -> list[Route]:
    """Return the routes by which `token` opens a session."""
    from starlette.concurrency import run_in_threadpool
    from starlette.routing import Route

    attempts = Attempts()

    async def sign_in(request: Request) -> Response:
        form = await read_strangers_form(request)
        return await run_in_threadpool(_sign_in, request.app.state.console, request, form, token, attempts)

    return [
        showing(SIGN_IN, ask_token),
        Route(SIGN_IN, sign_in, methods=["POST"]),
        acting("/sign-out", sign_out),
    ]


def ask_token(console: Console, request: Request) -> Response:
    """Show the form."""
    from starlette.responses import RedirectResponse

    wanted = own_address(request.query_params.get("next", ""))
    if request.state.session is not None:
        return RedirectResponse(wanted, 303)
    return _form(console, request, wanted)


def _sign_in(console: Console, request: Request, form: Form, token: str, attempts: Attempts) -> Response:
    from starlette.responses import RedirectResponse

    wanted = own_address(form.text("next"))
    wait = attempts.wait()
    if wait:
        refusal = f"Too many sign-ins have failed. Wait {round(wait) + 1} seconds, then try again."
        response = _form(console, request, wanted, refusal, 429)
        response.headers["Retry-After"] = str(round(wait) + 1)
        return response
    if not hmac.compare_digest(form.text("token").encode(), token.encode()):
        attempts.failed()
        log.warning("A sign-in failed.")
        return _form(console, request, wanted, "This is not the token of this console.", 403)
    log.info("Somebody signed in.")
    response = RedirectResponse(wanted, 303)
    give_cookie(request, response, console.sessions.open().identifier)
    return response


def sign_out(console: Console, request: Request, form: Form) -> Response:
    """End the session."""
    from starlette.responses import RedirectResponse

    console.sessions.close(request.state.session.identifier)
    response = RedirectResponse(SIGN_IN, 303)
    take_cookie(request, response)
    return response


def own_address(address: str) -> str:
    """Return `address` when it is one of this console, else that of the first page."""
    parts = urlsplit(address) if address.isascii() and address.isprintable() else None
    own = parts is not None and not parts.scheme and not parts.netloc
    return address if own and address.startswith("/") and not address.startswith("//") and "\\" not in address else "/"


def _form(console: Console, request: Request, wanted: str, refusal: str = "", status: int = 200) -> Response:
    return render(
        console.templates,
        "sign_in.html.j2",
        console.frame(request),
        status=status,
        address=SIGN_IN,
        next=wanted,
        label="Token",
        about=ABOUT,
        how=HOW,
        command=COMMAND,
        refusal=refusal,
    )
