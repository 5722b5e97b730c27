"""How SuperLink sees the sites' nodes: what an operator is shown of all, and each site of itself.

The view is SuperLink's: a SuperNode that lost the link still believes itself well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from c2lst_server.db.models import Site
from c2lst_server.federation.control import Control, LinkedNode, open_control
from c2lst_server.federation.keys_in_step import active_keys, as_flower_writes_it
from c2lst_server.federation.link import Link
from c2lst_server.home import Home
from c2lst_shared.errors import TransferFailed
from c2lst_shared.wire import LinkReply, LinkState

ANSWER_SECONDS = 5.0  # for which SuperLink is waited for, on this machine


def nodes_of_sites(control: Control, keys: Mapping[str, str]) -> dict[str, LinkedNode]:
    """Return the nodes of active sites, by the names that the sites are enrolled under.

    Args:
        control: of SuperLink.
        keys: names of the active sites by their public keys (`active_keys`).

    Raises:
        TransferFailed: SuperLink is away.
    """
    return {keys[node.public_key_pem]: node for node in control.nodes() if node.public_key_pem in keys}


def sites_online(home: Home, session: Session) -> list[str]:
    """Return the names of the active sites whose nodes are linked now.

    Raises:
        TransferFailed: SuperLink is away.
    """
    keys = active_keys(session)
    return sorted(keys[node.public_key_pem] for node in _nodes(home) if node.online and node.public_key_pem in keys)


def own_link(home: Home, site: Site) -> LinkReply:
    """Return how SuperLink sees the node of one active site; a SuperLink that is away is an answer too."""
    now = datetime.now(UTC)
    try:
        nodes = _nodes(home)
    except TransferFailed:
        return LinkReply(site=site.name, state="superlink_away", since=None, time=now)
    key = as_flower_writes_it(site.public_key_pem or "")
    node = next((node for node in nodes if node.public_key_pem == key), None)
    state, since = _seen(node)
    return LinkReply(site=site.name, state=state, since=since, time=now)


def _seen(node: LinkedNode | None) -> tuple[LinkState, datetime | None]:
    if node is None or node.last_seen is None:
        return "never_linked", None
    return ("online", None) if node.online else ("offline", node.last_seen)


def _nodes(home: Home) -> list[LinkedNode]:
    try:
        link = Link.started_in(home.superlink)
        if not link.certificate.exists() or not link.control_token_file.exists():  # asking would make a token
            raise TransferFailed("No SuperLink was started in this home yet; run `c2lst-server superlink`.")
        with open_control(link, timeout=ANSWER_SECONDS) as control:
            return control.nodes()
    except (OSError, ValueError) as error:
        raise TransferFailed(f"SuperLink cannot be asked ({error}); may this user read {home.superlink}?") from error
