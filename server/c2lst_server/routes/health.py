"""Is the service up, and would a site accept what it serves?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import text

from c2lst_server.deps import HomeDep, SessionDep
from c2lst_server.publishing.catalogue import reading

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The service answers; what it needs is there."""

    status: Literal["ok"]
    timestamp_expires: AwareDatetime  # after this sites refuse what is served


@router.get("/healthz")
def get_health(home: HomeDep, session: SessionDep) -> Health:
    """Answer when database and signed metadata can be read."""
    session.execute(text("SELECT 1"))
    return Health(status="ok", timestamp_expires=reading(home).timestamp().expires)
