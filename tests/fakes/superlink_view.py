"""What SuperLink says of the nodes of a centre's sites, without a SuperLink."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from sqlalchemy import select

from c2lst_server.db.models import Site
from c2lst_server.federation.control import LinkedNode
from c2lst_server.federation.keys_in_step import as_flower_writes_it
from c2lst_server.federation.link import Link
from c2lst_shared.errors import TransferFailed
from fakes.central import Central

HEARTBEAT = 30.0


@contextmanager
def superlink_seeing(
    central: Central,
    *,
    online: Collection[str] = (),
    offline: Mapping[str, datetime] | None = None,
    away: bool = False,
) -> Iterator[list[Link]]:
    """Let the control API of the centre say so; give the places at which it was asked."""
    link = Link(central.home.superlink)
    link.renew_certificate()
    link.control_token()
    asked: list[Link] = []
    given_up = offline or {}

    class View:
        def nodes(self) -> list[LinkedNode]:
            if away:
                raise TransferFailed("SuperLink does not answer (ConnectError); is `c2lst-server superlink` running?")
            with central.session() as session:
                keys = {site.name: as_flower_writes_it(site.public_key_pem) for site in session.scalars(select(Site))}
            soon = datetime.now(UTC) + timedelta(seconds=2 * HEARTBEAT)
            return [
                LinkedNode(number, key, *_seen(name, online, given_up, soon), HEARTBEAT)
                for number, (name, key) in enumerate(keys.items())
            ]

    @contextmanager
    def open_view(asked_at: Link, *, timeout: float) -> Iterator[View]:
        asked.append(asked_at)
        yield View()

    with patch("c2lst_server.federation.site_links.open_control", open_view):
        yield asked


def _seen(name: str, online: Collection[str], given_up: Mapping[str, datetime], soon: datetime) -> tuple[str, datetime | None]:
    if name in online:
        return "online", soon
    return ("offline", given_up[name]) if name in given_up else ("registered", None)
