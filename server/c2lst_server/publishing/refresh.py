"""Keep the signed metadata young: a site takes a timestamp of more than a week for a replayed one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from c2lst_server.home import Home
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.repository import LIFETIME, editing
from c2lst_shared.errors import BadInput

TIMESTAMP_AGE = timedelta(days=1)  # after this it is signed again
SNAPSHOT_AGE = timedelta(days=15)


def refresh_timestamp(home: Home, now: datetime | None = None) -> list[str]:
    """Sign the timestamp again when it is a day old, and the snapshot when it is half its life old.

    Needs the online keys only. Meant to be called at any time: what is young is left alone.

    Returns:
        The roles that were signed, in the order in which they were written.

    Raises:
        BadInput: the home is not initialised.
        BadArtefact: a site would refuse the result, for example because targets or root have expired.
    """
    now = now or datetime.now(UTC)
    with editing(home, Keyring(home.keys, _no_passphrase), now) as repository:
        snapshot_is_old = now > repository.snapshot().expires - LIFETIME["snapshot"] + SNAPSHOT_AGE
        timestamp_is_old = now > repository.timestamp().expires - LIFETIME["timestamp"] + TIMESTAMP_AGE
        if not (snapshot_is_old or timestamp_is_old):
            return []
        return repository.commit(renew_snapshot=snapshot_is_old)


def renew_targets(home: Home, keyring: Keyring) -> list[str]:
    """Sign the targets and every organ's role again as they are; needs the targets keys.

    Returns:
        The roles that were signed.

    Raises:
        BadInput: the home is not initialised, or a key cannot be opened.
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    with editing(home, keyring) as repository:
        repository.renew()
        return repository.commit()


def _no_passphrase() -> str:
    raise BadInput("Refreshing needs the snapshot and timestamp keys only; restore them to the keys folder.")
