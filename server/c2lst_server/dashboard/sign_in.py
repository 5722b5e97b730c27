"""Signing in with an administrator's token, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from c2lst_server.administrators import AdministratorRecord
from c2lst_server.dashboard import pages, sessions
from c2lst_server.dashboard.viewer import PageRoute, sender_with
from c2lst_server.deps import SessionDep
from c2lst_server.errors import Unauthorised
from c2lst_shared.web.forms import check_origin
from c2lst_shared.web.sessions import give_cookie, shown_identifier, take_cookie

router = APIRouter(prefix=pages.PREFIX, route_class=PageRoute, include_in_schema=False)

MAX_ADDRESS = 500
ABOUT = "See and steer the centre: releases, trainings, sites and rounds."
HOW = "I have no token"
COMMAND = "c2lst-server admins add YOUR-NAME --scope all"
UNKNOWN = "This token is not known, or it has run out. Whoever runs the server makes a new one with the command below."


@router.get("/sign-in")
def show_sign_in(request: Request, session: SessionDep, next: Annotated[str, Query(max_length=MAX_ADDRESS)] = "") -> Response:
    """Show the form; who is signed in already goes on."""
    if sessions.find(session, shown_identifier(request), used=False) is not None:
        return RedirectResponse(pages.own_page(next), status_code=303)
    return _form(request, next)


@router.post("/sign-in")
def sign_in(
    request: Request,
    session: SessionDep,
    token: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=MAX_ADDRESS)] = "",
) -> Response:
    """Open a session for the holder of a token."""
    check_origin(request)
    before = shown_identifier(request)
    try:
        identifier = sessions.sign_in(session, token.strip())
    except Unauthorised:
        return _form(request, next, refusal=UNKNOWN, status=401)
    if before:
        sessions.sign_out(session, before)
    answer = RedirectResponse(pages.own_page(next), status_code=303)
    give_cookie(request, answer, identifier)
    return answer


@router.post("/sign-out")
def sign_out(
    request: Request, session: SessionDep, viewer: Annotated[AdministratorRecord, Depends(sender_with(None))]
) -> Response:
    """End the session."""
    sessions.sign_out(session, shown_identifier(request) or "")
    answer = pages.done(request, pages.SIGN_IN, f"{viewer.name} is signed out.")
    take_cookie(request, answer)
    return answer


def _form(request: Request, after: str, *, refusal: str = "", status: int = 200) -> Response:
    return pages.show(
        request,
        None,
        None,
        "sign_in.html.j2",
        status=status,
        about=ABOUT,
        how=HOW,
        command=COMMAND,
        label="Administrator's token",
        address=pages.SIGN_IN,
        next=pages.own_page(after),
        refusal=refusal,
    )
