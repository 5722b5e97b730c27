"""What an operator wants to know at a glance."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from c2lst_server.db.models import Site
from c2lst_server.federation.site_links import sites_online
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_catalogue, reading
from c2lst_server.publishing.initialise import root_fingerprint
from c2lst_server.publishing.repository import Repository
from c2lst_shared.errors import TransferFailed


class Status(BaseModel):
    """The state of one home."""

    home: Path
    root_sha256: str
    expires: dict[str, datetime]  # role -> when sites stop accepting it
    releases: list[str]
    sites: dict[str, int]  # state -> how many
    online: list[str] | None  # sites that are linked now, as SuperLink sees them; None = it does not answer


def read_status(home: Home, session: Session) -> Status:
    """Return the state of `home`.

    Raises:
        BadInput: it is not initialised.
    """
    home.check_initialised()
    online: list[str] | None
    try:
        online = sites_online(home, session)
    except TransferFailed:
        online = None
    counts = session.execute(select(Site.state, func.count()).group_by(Site.state).order_by(Site.state))
    return Status(
        home=home.path,
        root_sha256=root_fingerprint(home),
        expires=read_expiry(reading(home)),
        releases=[release.name for release in read_catalogue(home).releases],
        online=online,
        sites={kind: int(count) for kind, count in counts},
    )


def read_expiry(repository: Repository) -> dict[str, datetime]:
    """Return role -> when sites stop accepting what it signed.

    Raises:
        BadArtefact: the metadata cannot be read.
    """
    return {
        "root": repository.root().expires,
        "targets": repository.targets().expires,
        **{organ: repository.targets(organ).expires for organ in repository.organs()},
        "snapshot": repository.snapshot().expires,
        "timestamp": repository.timestamp().expires,
    }
