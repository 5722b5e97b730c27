"""How the roles of TUF stand: who signed them, until when sites accept that, and when somebody has to sign again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel

from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import reading
from c2lst_server.status import read_expiry
from c2lst_shared.release.targets import TOP_LEVEL_ROLES

# How long before a role runs out its holders are warned. Snapshot and timestamp are signed by the service itself, long before
# these times: a warning means that it could not.
WARNING = {
    "root": timedelta(days=45),
    "targets": timedelta(days=21),  # the organs' roles too
    "snapshot": timedelta(days=10),
    "timestamp": timedelta(days=4),
}


class RoleState(BaseModel):
    """One role."""

    role: str
    expires: AwareDatetime
    signed_by: list[str]  # ids of the keys whose signatures are right
    threshold: int
    state: Literal["fresh", "soon", "expired"]

    @property
    def is_organ(self) -> bool:
        """Whether it is the role of an organ."""
        return self.role not in TOP_LEVEL_ROLES

    @property
    def remedy(self) -> str:
        """The command that gives it another life."""
        if self.role == "root":
            return "c2lst-server keys rotate root-1"
        return "c2lst-server serve" if self.role in {"snapshot", "timestamp"} else "c2lst-server renew"


def role_states(home: Home, now: datetime | None = None) -> list[RoleState]:
    """Return every role, the top-level ones first.

    Raises:
        BadArtefact: metadata cannot be read.
    """
    now, repository = now or datetime.now(UTC), reading(home)
    found = []
    for role, expires in read_expiry(repository).items():
        verified = repository.verified(role)
        left = expires - now
        state = "expired" if left <= timedelta() else "soon" if left <= WARNING.get(role, WARNING["targets"]) else "fresh"
        found.append(
            RoleState.model_validate(
                {
                    "role": role,
                    "expires": expires,
                    "signed_by": sorted(verified.signed),
                    "threshold": verified.threshold,
                    "state": state,
                }
            )
        )
    return sorted(found, key=lambda each: each.is_organ)
