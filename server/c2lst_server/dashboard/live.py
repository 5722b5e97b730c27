"""Says that something changed which pages show. Looking costs a few counts and the time of one file."""

from __future__ import annotations

import hashlib
from asyncio import Semaphore
from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from c2lst_server.dashboard import pages, sessions
from c2lst_server.dashboard.links import SeenLinks
from c2lst_server.db.models import AdministratorAction, Round, RoundSite, Site, Training
from c2lst_server.home import Home
from c2lst_server.publishing.repository import TIMESTAMP_FILE
from c2lst_shared.web.live import Changes
from c2lst_shared.web.sessions import shown_identifier

router = APIRouter(prefix=pages.PREFIX, include_in_schema=False)


def watch(home: Home, make_session: sessionmaker[Session], turns: Semaphore, links: SeenLinks) -> Changes:
    """Return the changes of one deployment; who looks waits for a turn at the database like any request."""

    def look() -> str:
        with make_session() as session:
            return state_digest(home, session, links)

    async def look_in_turn() -> str:
        async with turns:
            return await run_in_threadpool(look)

    return Changes(look_in_turn)


def state_digest(home: Home, session: Session, links: SeenLinks) -> str:
    """Return a text that differs when something changed."""
    parts: list[object] = [
        *session.execute(select(Site.state, func.count(), func.max(Site.last_seen)).group_by(Site.state).order_by(Site.state)),
        *session.execute(
            select(Training.state, func.count(), func.max(Training.updated), func.sum(Training.step))
            .group_by(Training.state)
            .order_by(Training.state)
        ),
        session.execute(select(func.count(), func.max(Round.cancelled), func.max(Round.closed)).select_from(Round)).one(),
        *session.execute(
            select(RoundSite.state, func.count(), func.max(RoundSite.answered), func.count(RoundSite.unreachable_since))
            .group_by(RoundSite.state)
            .order_by(RoundSite.state)
        ),
        session.scalar(select(func.max(AdministratorAction.id))),
        links.version,
    ]
    with suppress(OSError):
        parts.append((home.metadata / TIMESTAMP_FILE).stat().st_mtime_ns)
    return hashlib.sha256(repr([str(part) for part in parts]).encode()).hexdigest()[:16]


@router.get("/live")
async def get_changes(request: Request) -> Response:
    """Tell a page of somebody who is signed in when it is out of date; no database connection is held meanwhile."""
    make_session: sessionmaker[Session] = request.app.state.sessions
    turns: Semaphore = request.app.state.database_turns
    changes: Changes = request.app.state.changes

    def find() -> bool:
        with make_session() as session:
            return sessions.find(session, shown_identifier(request), used=False) is not None

    async with turns:
        known = await run_in_threadpool(find)
    return changes.answer() if known else PlainTextResponse("Sign in first.", 401)
