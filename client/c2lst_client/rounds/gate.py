"""The one gate of rounds: what leaves is a model of `wire`, within its bounds, and in the audit log before it leaves."""

from __future__ import annotations

from c2lst_client.audit import AuditLog, Entry
from c2lst_shared.errors import BadArtefact
from c2lst_shared.wire import RequestKind, RoundAnswer, parse_answer

FLEET = "/v1/fleet"  # where Flower takes it


def let_out(answer: RoundAnswer, audit: AuditLog, *, asked: RequestKind | None, received: int) -> bytes:
    """Return the bytes of an answer once they are known to be nothing else and are written down.

    Args:
        answer: one of the answers that `wire` knows.
        asked: what is answered; None = a request that was not understood.
        received: bytes of the request.

    Raises:
        BadArtefact: it is no such answer, or the log cannot be written on.
        OSError: the disk takes no more.
    """
    try:
        body = answer.body()
        # Read back as the centre will: a model that was built around its checks does not pass.
        read = parse_answer(body)
    except ValueError:
        raise BadArtefact("An answer is not one that may leave the site; it was kept back.") from None
    if read.body() != body or type(read) is not type(answer):
        raise BadArtefact("An answer is not one that may leave the site; it was kept back.")
    audit.append(
        Entry(
            kind="round",
            method=asked or "unknown",
            path=FLEET,
            bytes_out=len(body),
            bytes_in=received,
            message=type(answer).__name__,
            content=answer.for_audit(),
        )
    )
    return body
