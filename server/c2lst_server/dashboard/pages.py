"""Templates, navigation and answers of the dashboard."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_shared.web.assets import Assets
from c2lst_shared.web.forms import Tone, csrf_token, forget_flash, leave_flash, take_flash
from c2lst_shared.web.pages import Frame, Link, page_environment, render, render_error
from c2lst_shared.web.sessions import shown_identifier

if TYPE_CHECKING:
    import jinja2

PREFIX = "/dashboard"
SIGN_IN = f"{PREFIX}/sign-in"
PRODUCT = "c2lst centre"
ASSETS = Assets(f"{PREFIX}/assets")
OVERVIEW = Link("Overview", PREFIX)
RELEASES, TRAININGS = Link("Releases", f"{PREFIX}/releases"), Link("Training", f"{PREFIX}/trainings")
SITES, ROUNDS, ACTIONS = (
    Link("Sites", f"{PREFIX}/sites"),
    Link("Rounds", f"{PREFIX}/rounds"),
    Link("Audit", f"{PREFIX}/audit"),
)
NAVIGATION = (OVERVIEW, RELEASES, TRAININGS, SITES, ROUNDS, ACTIONS)
TITLES = {
    400: "This request cannot be read",
    401: "Sign in first",
    403: "This is not allowed",
    404: "There is no such page",
    405: "There is no such page",
    422: "This cannot be done",
    429: "Too many requests",
    503: "The service is not available now",
}


@cache
def templates() -> jinja2.Environment:
    """Return the environment of the dashboard's templates."""
    found = page_environment(__package__, ASSETS)
    found.globals |= {"Scope": Scope, "prefix": PREFIX}
    return found


def frame(request: Request, viewer: AdministratorRecord | None, here: Link | None = None, *, live: bool = False) -> Frame:
    """Return what is around a page for this viewer."""
    if viewer is None:
        return Frame(PRODUCT, PREFIX, flash=take_flash(request))
    return Frame(
        product=PRODUCT,
        home=PREFIX,
        navigation=NAVIGATION,
        here=here.address if here else "",
        who=viewer.name,
        sign_out=f"{PREFIX}/sign-out",
        csrf=csrf_token(shown_identifier(request) or ""),
        live=f"{PREFIX}/live" if live else "",
        flash=take_flash(request),
    )


def show(
    request: Request,
    viewer: AdministratorRecord | None,
    here: Link | None,
    template: str,
    /,
    *,
    status: int = 200,
    live: bool = False,
    **content: object,
) -> HTMLResponse:
    """Return a page."""
    may = frozenset(viewer.scopes) if viewer else frozenset()
    around = frame(request, viewer, here, live=live)
    answer = render(templates(), template, around, status=status, may=may, **content)
    forget_flash(request, answer)
    return answer


def show_error(request: Request, status: int, sentence: str) -> HTMLResponse:
    """Return the page that says what went wrong, for whoever asks."""
    viewer: AdministratorRecord | None = getattr(request.state, "viewer", None)
    title = TITLES.get(status, "The service has a problem of its own")
    answer = render_error(templates(), frame(request, viewer), status, title, sentence)
    forget_flash(request, answer)
    return answer


def done(request: Request, address: str, sentence: str, tone: Tone = "good") -> Response:
    """Return the answer to a form that was carried out: the page at `address`, which shows `sentence`."""
    answer = RedirectResponse(address, status_code=303)
    leave_flash(request, answer, tone, sentence)
    return answer


def sign_in_address(request: Request) -> str:
    """Return where to sign in, and to come back from to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{SIGN_IN}?next={quote(asked)}" if request.method == "GET" and asked != PREFIX else SIGN_IN


def own_page(address: str) -> str:
    """Return `address` when it is a page of the dashboard, else the overview: nobody is led away after signing in."""
    plain = address.startswith((f"{PREFIX}/", f"{PREFIX}?")) and "\\" not in address and address.isprintable()
    return address if plain else PREFIX
