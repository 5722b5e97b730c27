"""Messages of rounds over Flower: named sites only, each an exchange of seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from c2lst_server.federation.control import Control, LinkedNode
from c2lst_server.federation.site_links import nodes_of_sites
from c2lst_server.rounds.transport import Message
from c2lst_shared.errors import TransferFailed
from c2lst_shared.wire import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from flwr.app import Message as FlowerMessage
    from flwr.superlink.grid import HttpGrid

log = logging.getLogger(__name__)

RECORD, FIELD = "c2lst", "body"  # where a message's bytes are; the same at the site's gate
QUERY = "query"
POLL_SECONDS = 0.5
LATE_SECONDS = 5.0  # for which SuperLink keeps a message longer than its answer is waited for


class FlowerTransport:
    """Reaches sites through the grid of one run.

    Args:
        grid: of the run.
        control: of the same SuperLink; knows the nodes' keys and whether they are there.
        keys: gives the active sites' names by their public keys, as they are now.
    """

    def __init__(self, grid: HttpGrid, control: Control, keys: Callable[[], Mapping[str, str]]) -> None:
        self._grid, self._control, self._keys = grid, control, keys

    def nodes(self) -> dict[str, LinkedNode]:
        """Return the active sites that may connect, by the names that they are enrolled under, as SuperLink sees them.

        The view is SuperLink's: a SuperNode that lost the link still believes itself well.

        Raises:
            TransferFailed: SuperLink is away.
        """
        return nodes_of_sites(self._control, self._keys())

    def exchange(self, messages: Sequence[Message], *, timeout: float) -> dict[str, bytes]:
        """Send each message to its site, at most one a site, and return the answers that came within `timeout` seconds.

        A site that is not there, says nothing, or answers with an error is left out. Whoever's answer is lost may have done
        what it was asked: every message must bear being repeated.

        Raises:
            TransferFailed: SuperLink is away.
        """
        nodes = self.nodes()
        there = [message for message in messages if message.site in nodes and nodes[message.site].online]
        if not there:
            return {}
        sites = {nodes[message.site].node_id: message.site for message in there}
        answers: dict[str, bytes] = {}
        with _translated():
            sent = [self._message(message.body, nodes[message.site].node_id, timeout + LATE_SECONDS) for message in there]
            waiting = {message_id for message_id in self._grid.push_messages(sent) if message_id}
            until = time.monotonic() + timeout
            while waiting and time.monotonic() < until:
                for reply in self._grid.pull_messages(waiting):
                    waiting.discard(reply.metadata.reply_to_message_id)
                    site = sites.get(reply.metadata.src_node_id)
                    body = _body(reply)
                    if site is not None and body is not None:
                        answers[site] = body
                if waiting:
                    time.sleep(POLL_SECONDS)
        return answers

    def _message(self, body: bytes, node_id: int, ttl: float) -> FlowerMessage:
        from flwr.app import ConfigRecord, RecordDict
        from flwr.app import Message as NewMessage

        return NewMessage(RecordDict({RECORD: ConfigRecord({FIELD: body})}), node_id, QUERY, ttl=ttl)


def _body(reply: FlowerMessage) -> bytes | None:
    """Return what a site said, or None for an error or anything else than bytes."""
    if reply.has_error():
        log.warning("Node %d answers with error %d", reply.metadata.src_node_id, reply.error.code)
        return None
    try:
        body = reply.content.config_records[RECORD][FIELD]
    except KeyError:
        return None
    return body if type(body) is bytes and len(body) <= MAX_ANSWER_BYTES else None


class _translated:  # noqa: N801 - used like a function
    """Turns what HTTP raises into our own error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import httpx

        if isinstance(error, httpx.HTTPError):
            raise TransferFailed(f"SuperLink does not answer ({type(error).__name__}).") from error
