"""Who may connect to SuperLink: the keys of the sites that are active, and no others.

SuperLink has its own list of keys. It is compared with the sites' every few seconds, so that enrolment, key rotation,
suspension and removal work without a restart, and a SuperLink that lost its database gets its list back.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_server.db.models import ACTIVE, Site
from c2lst_server.federation.control import UNREGISTERED, Control

BUSY_SECONDS = 10


def active_keys(session: Session) -> dict[str, str]:
    """Return the sites that may connect, by the public keys that they prove themselves with."""
    found = session.execute(select(Site.name, Site.public_key_pem).where(Site.state == ACTIVE))
    return {as_flower_writes_it(pem): name for name, pem in found if pem}


def keep_in_step(keys: set[str], control: Control, database: Path) -> tuple[int, int]:
    """Make SuperLink's list of keys be `keys`.

    Args:
        keys: of the active sites, as `active_keys` gives them.
        control: of the SuperLink.
        database: SuperLink's own. A key that was taken off stays in it for ever and could not be registered again (Flower 1.41
            has a unique column); when its site is resumed, that dead row is removed here.

    Returns:
        How many keys were registered, and how many taken off.

    Raises:
        TransferFailed: SuperLink is away.
    """
    known = {node.public_key_pem: node for node in control.nodes()}
    gone = [node for key, node in known.items() if key not in keys and node.status != UNREGISTERED]
    for node in gone:
        control.unregister(node.node_id)
    new = [key for key in keys if key not in known or known[key].status == UNREGISTERED]
    for key in new:
        if key in known:
            _forget(database, key)
        control.register(key)
    return len(new), len(gone)


def _forget(database: Path, key: str) -> None:
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection, connection:
        connection.execute("DELETE FROM node WHERE public_key = ? AND status = ?", (key.encode(), UNREGISTERED))


def as_flower_writes_it(pem: str) -> str:
    """Return a public key in the words by which SuperLink knows it."""
    return load_pem_public_key(pem.encode()).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
