"""One request of a round in, one answer out: what the site's Flower app calls, and all that it calls.

It looks at the site's policy and at its queue, and takes no longer than that: the work is done by the worker, another process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from c2lst_client.audit import AuditLog
from c2lst_client.home import Home
from c2lst_client.rounds.gate import let_out
from c2lst_client.rounds.job_queue import Decision, JobQueue
from c2lst_client.rounds.outcome import withhold
from c2lst_client.rounds.policy import Policy, load_policy, objection
from c2lst_client.rounds.queue_database import Job
from c2lst_client.sites import open_site, site_names
from c2lst_shared.logs import in_round
from c2lst_shared.wire import (
    Cancel,
    QueryStatus,
    RequestKind,
    RoundAnswer,
    RoundOffer,
    RoundRefusal,
    RoundStatus,
    parse_request,
)

log = logging.getLogger(__name__)


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
    asked: RequestKind | None = None
    answer: RoundAnswer
    try:
        parsed = parse_request(request)
    except ValueError:
        answer = RoundRefusal(code="not_understood")
    else:
        asked = parsed.kind
        with in_round(parsed.round_id):
            try:
                answer = answer_to(home, parsed)
            except Exception:  # it may say anything, so that nothing of it leaves
                log.exception("A request of kind %s could not be answered.", asked)
                answer = RoundRefusal(code="internal")
    audit = AuditLog(home.audit_log)
    for each in (answer, RoundRefusal(code="internal")):
        try:
            return let_out(each, audit, asked=asked, received=len(request))
        except Exception:
            log.exception("An answer was kept back.")
    return b""


def answer_to(home: Home, request: RoundOffer | QueryStatus | Cancel, clock: Callable[[], float] = time.time) -> RoundAnswer:
    """Do what a request asks for, and say how its round stands.

    Raises:
        C2lstError, sqlite3.Error, OSError: the policy, the queue or the slides cannot be read.
    """
    queue, policy = JobQueue(home.round_queue, clock), load_policy(home)
    job: Job | None
    if isinstance(request, RoundOffer):
        job = queue.receive(request, lambda: decide(home, policy, request, clock()))
    elif isinstance(request, Cancel):
        job = queue.cancel(request.round_id)
    else:
        job = queue.find(request.round_id)
    if job is None:
        return RoundStatus(round_id=request.round_id, state="unknown")
    return describe(job, policy, clock())


def decide(home: Home, policy: Policy, offer: RoundOffer, now: float) -> Decision:
    """Say what becomes of a new offer."""
    slides = slides_of(home, offer.organ)
    reason = objection(policy, offer, {offer.organ} if slides else set(), now)
    if reason is not None:
        return Decision("declined", reason)
    if len(slides) > 1:
        return Decision("waiting")  # somebody must say which slide
    return Decision("queued" if policy.mode == "auto" else "waiting", slide=slides[0])


def slides_of(home: Home, organ: str) -> list[str]:
    """Return the names of the site's slides of an organ."""
    return [name for name in site_names(home) if open_site(home, name).record.organ == organ]


def describe(job: Job, policy: Policy, now: float) -> RoundAnswer:
    """Return what the centre is told of a round: its result when there is one, else how far it is.

    Work whose process is silent does not run: it is queued, whatever was written down last.
    """
    if job.state == "finished" and job.result is not None:
        return withhold(job.result, policy)
    running = job.state == "running" and (job.lease_until or 0) >= now
    return RoundStatus(
        round_id=job.round_id,
        state="queued" if job.state == "running" and not running else job.state,
        stage=job.stage if running else None,
        step=job.step if running else None,
        steps=job.steps if running else None,
        eta_seconds=round(min(job.eta, 1e8)) if running and job.eta is not None else None,
        error=job.error,
        reason=job.reason,
    )
