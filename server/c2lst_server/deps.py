"""What a route may ask for in its signature."""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.oauth2 import OAuth2
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from c2lst_server import administrators
from c2lst_server.actions import Via, act_as
from c2lst_server.administrators import Scope
from c2lst_server.db.models import Site
from c2lst_server.errors import Unauthorised
from c2lst_server.home import Home
from c2lst_server.rate_limit import Limits
from c2lst_server.readiness import Readiness
from c2lst_server.settings import Settings
from c2lst_server.sites import access
from c2lst_shared.wire import TokenRequest


def get_home(request: Request) -> Home:
    """Return the state folder that the application serves."""
    settings: Settings = request.app.state.settings
    return settings.folders


def get_settings(request: Request) -> Settings:
    """Return what the operator set."""
    settings: Settings = request.app.state.settings
    return settings


async def get_session(request: Request) -> AsyncIterator[Session]:
    """Give one database session per request, to as many requests at a time as the pool has connections.

    More wait here, where waiting costs nothing. Were they to wait for a connection inside a thread, all threads would soon do
    so, and none be left for the requests that hold the connections: each of these needs a thread again for its next step.
    """
    sessions: sessionmaker[Session] = request.app.state.sessions
    turns: Semaphore = request.app.state.database_turns
    async with turns:
        session = sessions()
        try:
            yield session
        finally:
            await run_in_threadpool(_close, session)


def _close(session: Session) -> None:
    """Give the connection back; when the database went away after the answer, there is nothing to roll back any more."""
    with suppress(OperationalError):
        session.close()


def get_readiness(request: Request) -> Readiness:
    """Return what knows whether the service is fit to be sent sites."""
    readiness: Readiness = request.app.state.readiness
    return readiness


SettingsDep = Annotated[Settings, Depends(get_settings)]
HomeDep = Annotated[Home, Depends(get_home)]
SessionDep = Annotated[Session, Depends(get_session)]
ReadinessDep = Annotated[Readiness, Depends(get_readiness)]


_site_token = OAuth2(
    scheme_name="site",
    description="An access token that a site gets with an assertion signed by its own key (`private_key_jwt`, RFC 7523).",
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl=TokenRequest.path)),
    auto_error=False,
)
_admin_token = HTTPBearer(
    scheme_name="administrator", description="A token made with `c2lst-server admins add`.", auto_error=False
)


def get_site(request: Request, session: SessionDep, authorization: Annotated[str | None, Depends(_site_token)]) -> Site:
    """Return the site whose token comes with the request; each counts towards the site's limit."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorised("This needs a site's access token; enrol, then ask for one.")
    site = access.authenticate(session, token)
    request.state.who = f"site:{site.name}"
    limits: Limits = request.app.state.limits
    limits.check_site(site.name)
    return site


def administrator_with(scope: Scope) -> Callable[..., None]:
    """Return a dependency that lets only administrators with `scope` pass."""

    def check(
        request: Request,
        session: SessionDep,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_admin_token)],
    ) -> None:
        if credentials is None:
            raise Unauthorised("This needs an administrator's token; make one with `c2lst-server admins add`.")
        administrator = administrators.authenticate(session, credentials.credentials, scope)
        request.state.who = f"admin:{administrator.name}"
        act_as(session, administrator.name, Via.INTERFACE)

    return check


SiteDep = Annotated[Site, Depends(get_site)]
