"""Is the service up, and would a site accept what it serves?"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from sqlalchemy import text

from c2lst_server.deps import HomeDep, SessionDep
from c2lst_server.problems import refusals
from c2lst_server.publishing.catalogue import reading
from c2lst_shared.wire import Health

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=refusals())
def get_health(home: HomeDep, session: SessionDep) -> Health:
    """Answer when database and signed metadata can be read."""
    session.execute(text("SELECT 1"))
    return Health(status="ok", time=datetime.now(UTC), timestamp_expires=reading(home).timestamp().expires)
