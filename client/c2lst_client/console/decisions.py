"""Decisions on rounds: each has a page that says what it means, and a button that does it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from c2lst_client.console.reading_forms import Form
from c2lst_client.console.round_view import view
from c2lst_client.console.rounds import HERE, about_offer, find_round
from c2lst_client.console.site_console import Console, acting, go_to, showing
from c2lst_client.rounds.approval import approve
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import load_policy
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger(__name__)


def routes() -> list[Route]:
    """Return the pages that ask, and what their buttons do."""
    return [
        showing("/rounds/{round_id}/approve", ask_approve),
        acting("/rounds/{round_id}/approve", do_approve),
        showing("/rounds/{round_id}/decline", ask_decline),
        acting("/rounds/{round_id}/decline", do_decline),
        showing("/rounds/{round_id}/cancel", ask_cancel),
        acting("/rounds/{round_id}/cancel", do_cancel),
    ]


def ask_approve(console: Console, request: Request) -> Response:
    """Ask before a round is approved."""
    return _ask(console, request, "approve.html.j2", policy=load_policy(console.home))


def do_approve(console: Console, request: Request, form: Form) -> Response:
    """Approve a round."""
    job = find_round(console, request)
    try:
        approved = approve(console.home, job.round_id, form.text("slide") or None)
    except BadInput as error:
        return go_to(request, f"{HERE}/{job.round_id}", "bad", str(error))
    log.info("Round %s was approved in the console.", job.round_id)
    return go_to(
        request,
        f"{HERE}/{job.round_id}",
        "good",
        f"Approved. The round is in the queue and works on slide {approved.slide}; the worker takes it up in its turn.",
    )


def ask_decline(console: Console, request: Request) -> Response:
    """Ask before a round is declined."""
    return _ask(console, request, "decline.html.j2")


def do_decline(console: Console, request: Request, form: Form) -> Response:
    """Decline a round."""
    job = find_round(console, request)
    try:
        JobQueue(console.home.round_queue).decline(job.round_id)
    except BadInput as error:
        return go_to(request, f"{HERE}/{job.round_id}", "bad", str(error))
    log.info("Round %s was declined in the console.", job.round_id)
    return go_to(request, f"{HERE}/{job.round_id}", "good", "Declined. The centre is told so, without a reason.")


def ask_cancel(console: Console, request: Request) -> Response:
    """Ask before a round is given up."""
    return _ask(console, request, "cancel.html.j2")


def do_cancel(console: Console, request: Request, form: Form) -> Response:
    """Give a round up."""
    job = JobQueue(console.home.round_queue).cancel(find_round(console, request).round_id)
    log.info("Round %s was cancelled in the console.", job.round_id)
    if job.state == "running":
        return go_to(request, f"{HERE}/{job.round_id}", "good", "Asked to stop. It ends within a few seconds.")
    if job.state == "cancelled":
        return go_to(request, f"{HERE}/{job.round_id}", "good", "Cancelled. The centre is told so.")
    return go_to(request, f"{HERE}/{job.round_id}", "warn", f"There was nothing to stop: the round is {job.state}.")


def _ask(console: Console, request: Request, template: str, **content: Any) -> Response:
    job = find_round(console, request)
    return console.page(
        request,
        template,
        HERE,
        {
            "round": view(job),
            **about_offer(console, job),
            **content,
        },
    )
