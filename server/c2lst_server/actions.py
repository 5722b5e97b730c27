"""Who did what: one record of what administrators, operators and sites changed, whichever way they came.

Whoever opens a database session for somebody says for whom (`act_as`); each function that changes something notes it in the
same transaction, so that there is no change without its record and no record of what did not happen.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_server.db.models import AdministratorAction

MAX_NAME, MAX_DETAIL = 100, 500  # characters, as the database keeps them
MAX_WHO = 64
_ACTOR = "actor"  # in Session.info


class Via(StrEnum):
    """The way that somebody came."""

    DASHBOARD = "dashboard"
    INTERFACE = "interface"  # HTTP with a token
    COMMAND = "command line"
    SITE = "site"
    PROGRAM = "program"  # nobody said who


class Action(StrEnum):
    """What was done, as the middle of a sentence."""

    SIGNED_IN = "signed in"
    SIGNED_OUT = "signed out"
    INVITED_SITE = "invited site"
    ENROLLED = "enrolled"
    ROTATED_KEY = "replaced the key of"
    SUSPENDED_SITE = "suspended site"
    RESUMED_SITE = "resumed site"
    REMOVED_SITE = "removed site"
    QUEUED_TRAINING = "queued training"
    STOPPED_TRAINING = "stopped training"
    RESUMED_TRAINING = "resumed training"
    STARTED_ROUND = "started round"
    CANCELLED_ROUND = "cancelled round"
    PUBLISHED = "published release"
    WITHDREW = "withdrew release"
    RENEWED = "signed again"
    CHANGED_KEYS = "changed the keys of"
    ADDED_ADMINISTRATOR = "added administrator"
    REMOVED_ADMINISTRATOR = "removed administrator"


class Actor(NamedTuple):
    """Who does something, and how they came."""

    who: str
    via: Via


class ActionRecord(BaseModel):
    """One thing that was done."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: AwareDatetime
    who: str
    via: str
    action: str
    subject: str
    detail: str | None


def act_as(session: Session, who: str, via: Via) -> None:
    """Say for whom `session` is used from now on."""
    session.info[_ACTOR] = Actor(who[:MAX_WHO], via)


def act_as_operator(session: Session) -> None:
    """Say that the person at this machine's command line uses `session`."""
    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in containers
        who = f"user {os.getuid()}"
    act_as(session, who, Via.COMMAND)


def note(session: Session, action: Action, subject: str, detail: str = "", now: datetime | None = None) -> None:
    """Add the record of something to the transaction that does it."""
    who, via = session.info.get(_ACTOR) or Actor("-", Via.PROGRAM)
    session.add(
        AdministratorAction(
            at=now or datetime.now(UTC),
            who=who,
            via=via,
            action=action,
            subject=subject[:MAX_NAME],
            detail=detail[:MAX_DETAIL] or None,
        )
    )


SESSIONS = (Action.SIGNED_IN, Action.SIGNED_OUT)


def list_actions(
    session: Session, *, limit: int, before: int | None = None, subject: str | None = None, sessions: bool = True
) -> list[ActionRecord]:
    """Return what was done, the newest first.

    Args:
        session: of the database.
        limit: how many at most.
        before: only records older than the one of this number.
        subject: only what was done to this.
        sessions: signing in and out as well.
    """
    found = select(AdministratorAction).order_by(AdministratorAction.id.desc()).limit(limit)
    if before is not None:
        found = found.where(AdministratorAction.id < before)
    if subject is not None:
        found = found.where(AdministratorAction.subject == subject)
    if not sessions:
        found = found.where(AdministratorAction.action.not_in(SESSIONS))
    rows: Sequence[AdministratorAction] = session.scalars(found).all()
    return [ActionRecord.model_validate(row) for row in rows]
