"""Who is let in: requests by a name of this machine (against DNS rebinding), and beyond the sign-in, sessions that are open.

A page of another site cannot read what is here, but its name can be made to lead to this machine; a browser then asks with
that name as Host. Only names of loopback are answered, whatever address the console listens on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from c2lst_client.console.kept_sessions import KeptSessions
from c2lst_shared.web.pages import HEADERS
from c2lst_shared.web.sessions import is_used, shown_identifier
from c2lst_shared.wire import is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SIGN_IN = "/sign-in"
ASSETS = "/assets"
LIVE = "/live"
WRONG_NAME = "The console answers on this machine only: open it as http://127.0.0.1 or http://localhost with its port.\n"


class Door:
    """Stands before every route, whether there is one or not."""

    def __init__(self, app: ASGIApp, sessions: KeptSessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from starlette.requests import Request

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                usual = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(each for each in usual if each[0] not in given)]
            await send(message)

        request = Request(scope)
        answer = self._refusal(request)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        from starlette.responses import PlainTextResponse, RedirectResponse

        if not is_own_name(request.headers.getlist("host")):
            return PlainTextResponse(WRONG_NAME, 421)
        session = self._sessions.find(shown_identifier(request), used=is_used(request) and request.url.path != LIVE)
        request.scope.setdefault("state", {})["session"] = session
        path = request.url.path
        if session is not None or path == SIGN_IN or path.startswith(f"{ASSETS}/"):
            return None
        if path == LIVE or not is_used(request):
            return PlainTextResponse("The session has ended; sign in again.\n", 401)
        asked = f"{path}?{request.url.query}" if request.url.query else path
        wanted = f"?next={quote(asked)}" if request.method == "GET" and asked != "/" else ""
        return RedirectResponse(SIGN_IN + wanted, 303)


def is_own_name(hosts: list[str]) -> bool:
    """Say whether a request has one Host, and that is loopback, with any port: a tunnel may have another one."""
    if len(hosts) != 1:
        return False
    name, _, port = hosts[0].rpartition(":") if not hosts[0].endswith("]") and ":" in hosts[0] else (hosts[0], "", "0")
    return port.isascii() and port.isdigit() and is_loopback(name.removeprefix("[").removesuffix("]").lower())
