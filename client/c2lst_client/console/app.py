"""The console as an application: routes, the door before them, and errors as pages."""

from __future__ import annotations

import logging
import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any

from c2lst_client.console import decisions, live, overview, policy, record, rounds, signing_in, slides
from c2lst_client.console import doctor as doctor_page
from c2lst_client.console.checkup import Checkup
from c2lst_client.console.door import ASSETS, LIVE, Door
from c2lst_client.console.kept_sessions import KeptSessions
from c2lst_client.console.site_console import WHO, Console, code_spans
from c2lst_client.settings import Settings
from c2lst_shared.errors import BadArtefact, BadInput, C2lstError
from c2lst_shared.web.assets import Assets
from c2lst_shared.web.forms import Forged
from c2lst_shared.web.live import LOOK_SECONDS, Changes
from c2lst_shared.web.pages import page_environment

if TYPE_CHECKING:
    import jinja2
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

TITLES = {404: "There is no such page", 405: "This cannot be done here"}


def create_app(
    settings: Settings, token: str, *, sessions: KeptSessions | None = None, look_every: float = LOOK_SECONDS
) -> Starlette:
    """Return the console of a state folder.

    Args:
        settings: of the installation.
        token: that opens it.
        sessions: where sessions are kept; by default in the state folder.
        look_every: seconds between two looks whether something changed.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.routing import Route

    home = settings.folders
    checkup = Checkup(home)
    kept = sessions or KeptSessions(home.console_sessions, token, who=WHO)

    async def look() -> str:
        return await run_in_threadpool(live.what_pages_show, home, checkup)

    app = Starlette(
        routes=[
            Assets(ASSETS).route(),
            *signing_in.routes(token),
            *overview.routes(),
            *rounds.routes(),
            *decisions.routes(),
            *policy.routes(),
            *slides.routes(),
            *record.routes(),
            *doctor_page.routes(),
            Route(LIVE, live.events, methods=["GET"]),
        ],
        middleware=[Middleware(Door, sessions=kept)],
        exception_handlers={
            Forged: _forged,
            C2lstError: _told,
            sqlite3.OperationalError: _queue_away,
            HTTPException: _http,
            Exception: _surprise,
        },
    )
    app.state.console = Console(settings, page_templates(), kept, Changes(look, every=look_every), checkup)
    return app


@cache
def page_templates() -> jinja2.Environment:
    """Return the templates of all pages, compiled once in a process."""
    found = page_environment("c2lst_client.console", Assets(ASSETS))
    found.filters["code_spans"] = code_spans
    return found


def _console(request: Request) -> Console:
    found: Console = request.app.state.console
    return found


def _forged(request: Request, error: Exception) -> Response:
    return _console(request).error(request, 403, "Not done", str(error))


def _told(request: Request, error: Exception) -> Response:
    """Our own errors say what is wrong and what to do."""
    status = 400 if isinstance(error, BadInput) else 500 if isinstance(error, BadArtefact) else 503
    return _console(request).error(request, status, "This cannot be shown", str(error))


def _queue_away(request: Request, error: Exception) -> Response:
    log.warning("The queue cannot be read: %s.", error)
    sentence = "The queue of rounds cannot be read now: the disk may be full, or another process holds it. Load the page again."
    return _console(request).error(request, 503, "This cannot be shown now", sentence)


def _http(request: Request, error: Any) -> Response:
    title = TITLES.get(error.status_code, "This did not work")
    sentence = error.detail if error.status_code not in TITLES else "Go on from one of the pages above."
    return _console(request).error(request, error.status_code, title, sentence)


def _surprise(request: Request, error: Exception) -> Response:
    log.error("A page could not be made.", exc_info=error)
    sentence = "Something went wrong that nobody foresaw; the log of the console says where. Nothing was sent anywhere."
    return _console(request).error(request, 500, "This did not work", sentence)
