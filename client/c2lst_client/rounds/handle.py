"""One request of a round in, one answer out: what the site's Flower app calls, and all that it calls.

It looks at the site's policy and at its queue, and takes no longer than that: the work is done by the worker, another process.
"""

from __future__ import annotations

from c2lst_client.home import Home


def handle(home: Home, request: bytes) -> bytes:
    """Answer one request of the centre.

    Never raises: whatever goes wrong leaves as a code. Every request may come twice, or late; an offer is queued once.

    Args:
        home: the site's state folder.
        request: body of a `RoundRequest` (`wire.parse_request`), as it came.

    Returns:
        Body of a `RoundAnswer` (`wire.parse_answer`), written down in the audit log; empty when it could not be written down,
        so that nothing may leave: then do not reply.
    """
    raise NotImplementedError
