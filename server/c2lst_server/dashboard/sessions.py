"""Administrators who are signed in at a browser. Sessions are in the database, so that a restart signs nobody out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from c2lst_server import administrators
from c2lst_server.actions import Action, Via, act_as, note
from c2lst_server.administrators import AdministratorRecord
from c2lst_server.db.models import Administrator, AdministratorSession
from c2lst_shared.web.sessions import IDLE, LONGEST, digest, new_identifier

MOST_SESSIONS = 20  # of one administrator; beyond it the one that was not used for longest ends
USED_SECONDS = 60  # that a session is used is written down once in this time


def sign_in(session: Session, token: str, now: datetime | None = None) -> str:
    """Open a session for whoever holds an administrator's token; return the identifier that the browser is to show.

    Raises:
        Unauthorised: nobody's token, or it has run out.
    """
    now = now or datetime.now(UTC)
    administrator = administrators.holder(session, token, now)
    _forget_ended(session, administrator, now)
    identifier = new_identifier()
    session.add(
        AdministratorSession(
            administrator_id=administrator.id,
            session_sha256=digest(identifier),
            ends=min(now + LONGEST, administrator.expires),
            used=now,
        )
    )
    act_as(session, administrator.name, Via.DASHBOARD)
    note(session, Action.SIGNED_IN, "dashboard", now=now)
    session.commit()
    return identifier


def find(session: Session, identifier: str | None, *, used: bool, now: datetime | None = None) -> AdministratorRecord | None:
    """Return whose session this is, None when it is not open.

    Args:
        session: of the database.
        identifier: what the browser shows.
        used: a person asks, so the idle time begins anew.
        now: instead of the clock's time.
    """
    now = now or datetime.now(UTC)
    found = _open(session, identifier, now)
    if found is None:
        return None
    if used and now - found.used >= timedelta(seconds=USED_SECONDS):
        found.used = now
        session.commit()
    return administrators.record(found.administrator)


def sign_out(session: Session, identifier: str) -> None:
    """End a session."""
    found = _open(session, identifier, datetime.now(UTC))
    if found is not None:
        session.delete(found)
        note(session, Action.SIGNED_OUT, "dashboard")
        session.commit()


def _open(session: Session, identifier: str | None, now: datetime) -> AdministratorSession | None:
    if not identifier:
        return None
    found = session.scalar(select(AdministratorSession).where(AdministratorSession.session_sha256 == digest(identifier)))
    if found is None or now >= min(found.ends, found.used + IDLE, found.administrator.expires):
        return None
    return found


def _forget_ended(session: Session, administrator: Administrator, now: datetime) -> None:
    """Remove sessions that are over, of anybody, and the oldest of this administrator's where there are too many."""
    over = or_(AdministratorSession.ends <= now, AdministratorSession.used <= now - IDLE)
    session.execute(delete(AdministratorSession).where(over))
    mine = select(AdministratorSession.id).where(AdministratorSession.administrator_id == administrator.id)
    kept = list(session.scalars(mine.order_by(AdministratorSession.used.desc()).limit(MOST_SESSIONS - 1)))
    session.execute(
        delete(AdministratorSession).where(
            AdministratorSession.administrator_id == administrator.id, AdministratorSession.id.not_in(kept)
        )
    )
