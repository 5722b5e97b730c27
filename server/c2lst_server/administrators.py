"""Who may steer the service over its interface: named tokens with scopes and an end. There is none until one is made."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, note
from c2lst_server.db.models import Administrator, AdministratorSession
from c2lst_server.errors import Refused, Unauthorised
from c2lst_server.sites.registry import digest
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import NAME_PATTERN

LONGEST_DAYS = 365


class Scope(StrEnum):
    """What a token allows."""

    READ_SITES = "sites:read"
    WRITE_SITES = "sites:write"
    READ_TRAININGS = "trainings:read"
    WRITE_TRAININGS = "trainings:write"
    READ_ROUNDS = "rounds:read"
    WRITE_ROUNDS = "rounds:write"
    READ_ACTIONS = "actions:read"


GROUPS = {"read": [scope for scope in Scope if scope.endswith(":read")], "all": list(Scope)}  # short for several scopes


class AdministratorRecord(BaseModel):
    """One administrator as it is shown; the token is not kept, so it cannot be."""

    name: str
    scopes: list[Scope]
    added: datetime
    expires: datetime


def scopes_of(names: Collection[str]) -> list[Scope]:
    """Return the scopes of these names, which may be those of groups.

    Raises:
        BadInput: one of them is none.
    """
    for name in names:
        if name not in [*Scope, *GROUPS]:
            raise BadInput(
                f"There is no scope {name!r}; the scopes are: {', '.join(Scope)}; `read` stands for all that only read, `all` "
                "for all."
            )
    return [scope for scope in Scope if any(scope == name or scope in GROUPS.get(name, []) for name in names)]


def add(session: Session, name: str, scopes: Collection[Scope], *, days: int, now: datetime | None = None) -> str:
    """Make an administrator and return the token, which is shown this once; adding again replaces token and scopes.

    Whoever is signed in with an earlier token is signed out.

    Raises:
        BadInput: the name cannot be used, there is no scope, or the time is too long.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise BadInput(f"{name!r} cannot name an administrator; use at most 32 lower-case letters, digits and dashes.")
    if not scopes:
        raise BadInput(f"An administrator without a scope may do nothing; give one of {', '.join(Scope)}.")
    if not 1 <= days <= LONGEST_DAYS:
        raise BadInput(f"A token lives for 1 to {LONGEST_DAYS} days, not {days}.")
    now = now or datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    administrator = session.scalar(select(Administrator).where(Administrator.name == name)) or Administrator(name=name)
    administrator.scopes = " ".join(sorted(set(scopes)))
    administrator.token_sha256 = digest(token)
    administrator.added, administrator.expires = now, now + timedelta(days=days)
    session.add(administrator)
    session.flush()
    session.execute(delete(AdministratorSession).where(AdministratorSession.administrator_id == administrator.id))
    note(session, Action.ADDED_ADMINISTRATOR, name, f"for {administrator.scopes}, {days} days", now)
    session.commit()
    return token


def list_administrators(session: Session) -> list[AdministratorRecord]:
    """Return all administrators by name."""
    return [record(one) for one in session.scalars(select(Administrator).order_by(Administrator.name))]


def remove(session: Session, name: str) -> None:
    """Make an administrator's token void.

    Raises:
        BadInput: there is no such administrator.
    """
    administrator = session.scalar(select(Administrator).where(Administrator.name == name))
    if administrator is None:
        known = ", ".join(one.name for one in list_administrators(session)) or "none yet"
        raise BadInput(f"There is no administrator {name!r}; they are: {known}.")
    session.delete(administrator)
    note(session, Action.REMOVED_ADMINISTRATOR, name)
    session.commit()


def authenticate(session: Session, token: str, scope: Scope, now: datetime | None = None) -> AdministratorRecord:
    """Return whose token this is.

    Raises:
        Unauthorised: nobody's, or it has run out.
        Refused: it does not allow `scope`.
    """
    found = record(holder(session, token, now))
    check_scope(found, scope)
    return found


def holder(session: Session, token: str, now: datetime | None = None) -> Administrator:
    """Return the administrator whose token this is.

    Raises:
        Unauthorised: nobody's, or it has run out.
    """
    administrator = session.scalar(select(Administrator).where(Administrator.token_sha256 == digest(token)))
    if administrator is None or administrator.expires <= (now or datetime.now(UTC)):
        raise Unauthorised("This token is not known or has run out; make one with `c2lst-server admins add`.")
    return administrator


def check_scope(administrator: AdministratorRecord, scope: Scope) -> None:
    """Check that an administrator may do something.

    Raises:
        Refused: the scope is not among theirs.
    """
    if scope not in administrator.scopes:
        raise Refused(
            f"The token of {administrator.name} does not allow {scope}; make one that does with `c2lst-server admins add`."
        )


def record(administrator: Administrator) -> AdministratorRecord:
    """Return an administrator as they are shown."""
    return AdministratorRecord(
        name=administrator.name,
        scopes=[Scope(scope) for scope in administrator.scopes.split()],
        added=administrator.added,
        expires=administrator.expires,
    )
