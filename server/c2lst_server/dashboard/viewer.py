"""Who looks at the dashboard, what they may do, and how refusals become pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Form, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from c2lst_server import administrators
from c2lst_server.actions import Via, act_as
from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages, sessions
from c2lst_server.deps import SessionDep
from c2lst_server.errors import NotThere, Refused, TooMany, Unauthorised
from c2lst_server.problems import DATABASE_AWAY, OWN_TROUBLE, RETRY_SECONDS
from c2lst_shared.errors import BadInput, C2lstError
from c2lst_shared.web.forms import Forged, check_form
from c2lst_shared.web.sessions import is_used, shown_identifier

log = logging.getLogger("uvicorn.error")

STATUS: dict[type[C2lstError], int] = {NotThere: 404, Refused: 403, Forged: 403, Unauthorised: 401, TooMany: 429, BadInput: 422}


class SignInNeeded(Exception):
    """Nobody is signed in at this browser."""


def get_viewer(request: Request, session: SessionDep) -> AdministratorRecord:
    """Return the administrator who is signed in.

    Raises:
        SignInNeeded: nobody is.
    """
    found = sessions.find(session, shown_identifier(request), used=is_used(request))
    if found is None:
        raise SignInNeeded
    request.state.viewer = found
    request.state.who = f"admin:{found.name}"
    act_as(session, found.name, Via.DASHBOARD)
    return found


ViewerDep = Annotated[AdministratorRecord, Depends(get_viewer)]


def viewer_with(scope: Scope) -> Callable[..., AdministratorRecord]:
    """Return a dependency that lets only administrators with `scope` pass."""

    def check(viewer: ViewerDep) -> AdministratorRecord:
        administrators.check_scope(viewer, scope)
        return viewer

    return check


def sender_with(scope: Scope | None) -> Callable[..., AdministratorRecord]:
    """Return a dependency for forms: they must come from a page of the session, and its administrator have `scope`."""

    def check(request: Request, viewer: ViewerDep, csrf: Annotated[str, Form(max_length=200)] = "") -> AdministratorRecord:
        check_form(request, shown_identifier(request) or "", csrf)
        if scope is not None:
            administrators.check_scope(viewer, scope)
        return viewer

    return check


class PageRoute(APIRoute):
    """A route whose refusals are pages for people, and not problem details for programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route with its errors translated."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                if "\0" in request.url.path or "%00" in request.url.query:  # PostgreSQL takes no text with it
                    raise NotThere("There is no such address.")  # noqa: TRY301
                return await handle(request)
            except SignInNeeded:
                return RedirectResponse(pages.sign_in_address(request), status_code=303)
            except Exception as error:  # whatever it is, people get a page
                return answer_error(request, error)

        return handle_as_page


def answer_error(request: Request, error: Exception) -> Response:
    """Return the page for an error; what is wrong on this side goes to the log only."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return pages.show_error(request, status, str(error))
    if isinstance(error, RequestValidationError):
        return pages.show_error(request, 422, in_words(error))
    if isinstance(error, HTTPException):
        return pages.show_error(request, error.status_code, str(error.detail))
    if isinstance(error, (OperationalError, PoolTimeout)):
        log.error("The database cannot be used: %s", error)
        answer = pages.show_error(request, 503, DATABASE_AWAY)
        answer.headers["Retry-After"] = RETRY_SECONDS
        return answer
    log.error("%s: %s", type(error).__name__, error, exc_info=not isinstance(error, C2lstError))
    return pages.show_error(request, 500, OWN_TROUBLE)


def in_words(error: RequestValidationError) -> str:
    """Name the fields of a form that cannot be used, without repeating what was in them."""
    return "; ".join(f"{found['loc'][-1]}: {found['msg']}" for found in error.errors()) + "."
