"""Who may steer the service over its interface: named tokens with scopes and an end. There is none until one is made."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_server.db.models import Administrator
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


class AdministratorRecord(BaseModel):
    """One administrator as it is shown; the token is not kept, so it cannot be."""

    name: str
    scopes: list[Scope]
    added: datetime
    expires: datetime


def scopes_of(names: Collection[str]) -> list[Scope]:
    """Return the scopes of these names.

    Raises:
        BadInput: one of them is none.
    """
    for name in names:
        if name not in list(Scope):
            raise BadInput(f"There is no scope {name!r}; the scopes are: {', '.join(Scope)}.")
    return [Scope(name) for name in names]


def add(session: Session, name: str, scopes: Collection[Scope], *, days: int, now: datetime | None = None) -> str:
    """Make an administrator and return the token, which is shown this once; adding again replaces token and scopes.

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
    session.commit()
    return token


def list_administrators(session: Session) -> list[AdministratorRecord]:
    """Return all administrators by name."""
    return [_record(one) for one in session.scalars(select(Administrator).order_by(Administrator.name))]


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
    session.commit()


def authenticate(session: Session, token: str, scope: Scope, now: datetime | None = None) -> AdministratorRecord:
    """Return whose token this is.

    Raises:
        Unauthorised: nobody's, or it has run out.
        Refused: it does not allow `scope`.
    """
    administrator = session.scalar(select(Administrator).where(Administrator.token_sha256 == digest(token)))
    if administrator is None or administrator.expires <= (now or datetime.now(UTC)):
        raise Unauthorised("This token is not known or has run out; make one with `c2lst-server admins add`.")
    record = _record(administrator)
    if scope not in record.scopes:
        raise Refused(f"The token of {record.name} does not allow {scope}; make one that does with `c2lst-server admins add`.")
    return record


def _record(administrator: Administrator) -> AdministratorRecord:
    return AdministratorRecord(
        name=administrator.name,
        scopes=[Scope(scope) for scope in administrator.scopes.split()],
        added=administrator.added,
        expires=administrator.expires,
    )
