"""What a route may ask for in its signature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session, sessionmaker

from c2lst_server.home import Home
from c2lst_server.settings import Settings


def get_home(request: Request) -> Home:
    """Return the state folder that the application serves."""
    settings: Settings = request.app.state.settings
    return settings.folders


def get_session(request: Request) -> Iterator[Session]:
    """Give one database session per request."""
    sessions: sessionmaker[Session] = request.app.state.sessions
    with sessions() as session:
        yield session


HomeDep = Annotated[Home, Depends(get_home)]
SessionDep = Annotated[Session, Depends(get_session)]
