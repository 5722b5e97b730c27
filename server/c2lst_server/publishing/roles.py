"""How the roles of TUF stand: who signed them, until when sites accept that, and when somebody has to sign again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp, VerificationResult

from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import reading
from c2lst_server.publishing.repository import TIMESTAMP_FILE, Repository
from c2lst_server.status import read_expiry
from c2lst_shared.errors import BadArtefact
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
        verified = _verified(repository, role)
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


def _verified(repository: Repository, role: str) -> VerificationResult:
    """Return whose signatures the current metadata of a role carries, and how many it needs."""
    name = _file_of(repository, role)
    try:
        metadata = Metadata[Root].from_bytes(repository.read(name))  # whatever it is: only its signatures are looked at
        delegator = repository.root() if role in TOP_LEVEL_ROLES else repository.targets()
        return delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    except (OSError, RepositoryError, ValueError) as error:
        raise BadArtefact(f"{name} cannot be verified: {error}; restore it from a backup.") from error


def _file_of(repository: Repository, role: str) -> str:
    if role == Root.type:
        return repository.newest_root_file()
    if role == Timestamp.type:
        return TIMESTAMP_FILE
    named = repository.timestamp().snapshot_meta if role == Snapshot.type else repository.snapshot().meta[f"{role}.json"]
    return f"{named.version}.{role}.json"
