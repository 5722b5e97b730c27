"""What was pinned at enrolment, and the connection that it allows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from c2lst_client.audit import AuditLog
from c2lst_client.egress import Egress
from c2lst_client.home import Home
from c2lst_shared import locking
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.manifest import Sha256
from c2lst_shared.wire import SiteName


class Enrolment(BaseModel):
    """The server that this site trusts, and under which name it is known there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: SiteName
    server: str
    root_sha256: Sha256  # of the pinned root metadata
    ca_pem: str | None  # the only certificate authority to accept; None = the system's
    key_fingerprint: Sha256  # of the site's public key
    enrolled: AwareDatetime


def load_enrolment(home: Home) -> Enrolment:
    """Return the record of the enrolment.

    Raises:
        BadInput: the site is not enrolled.
        BadArtefact: the record is damaged.
    """
    try:
        return Enrolment.model_validate_json(home.enrolment.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{home.path} is not enrolled; run `c2lst-client enroll FILE` with a file from the central.") from None
    except ValidationError as error:
        raise BadArtefact(f"{home.enrolment} is damaged; restore it from a backup or enrol in a new home.") from error


def read_pinned_root(home: Home, enrolment: Enrolment) -> bytes:
    """Return the root metadata that was pinned.

    Raises:
        BadArtefact: it is not the one of the enrolment any more.
    """
    content = home.pinned_root.read_bytes() if home.pinned_root.is_file() else b""
    if hashlib.sha256(content).hexdigest() != enrolment.root_sha256:
        raise BadArtefact(f"{home.pinned_root} is not what was pinned at enrolment; restore it from a backup or enrol anew.")
    return content


def open_egress(home: Home, enrolment: Enrolment, proxy: str | None = None) -> Egress:
    """Return a connection to the enrolled server."""
    return Egress(enrolment.server, AuditLog(home.audit_log), ca_pem=enrolment.ca_pem, proxy=proxy)


@contextmanager
def locked(home: Home, *, wait: float = 0) -> Iterator[None]:
    """Let no other process change trust or releases meanwhile; one that is at it is waited for, for `wait` seconds.

    Raises:
        Busy: it is still at it.
    """
    message = f"Another c2lst command is enrolling or pulling in {home.path}; run again when it is done."
    with locking.locked(home.trust_lock, message, wait=wait):
        yield
