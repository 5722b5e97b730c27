"""Rounds: those that wait for a decision, those at work, and those that are over."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from c2lst_client.console.round_view import REASONS, arm_views, sent_numbers, view
from c2lst_client.console.site_console import Console, showing
from c2lst_client.release_card import read_card
from c2lst_client.rounds import offer_words
from c2lst_client.rounds.approval import choice_for
from c2lst_client.rounds.declared_numbers import STATUS, leaving
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.outcome import withhold
from c2lst_client.rounds.policy import load_policy, may_run
from c2lst_client.rounds.queue_database import Job
from c2lst_shared.flower.heartbeat import take_pulse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HERE = "/rounds"
PER_PAGE = 20


def routes() -> list[Route]:
    """Return the pages of rounds."""
    return [showing("/rounds", all_rounds), showing("/rounds/{round_id}", one_round)]


def jobs_of(console: Console) -> list[Job]:
    """Return all rounds, the newest first; nothing is made by looking."""
    queue = console.home.round_queue
    return list(reversed(JobQueue(queue).all())) if queue.exists() else []


def find_round(console: Console, request: Request) -> Job:
    """Return the round that an address names.

    Raises:
        HTTPException: 404, there is none.
    """
    queue = console.home.round_queue
    job = JobQueue(queue).find(request.path_params["round_id"]) if queue.exists() else None
    if job is None:
        raise HTTPException(404)
    return job


def all_rounds(console: Console, request: Request) -> Response:
    """Show every round."""
    found = [view(job) for job in jobs_of(console)]
    over = [each for each in found if each.over]
    first = _page_number(request) * PER_PAGE
    policy = load_policy(console.home)
    return console.page(
        request,
        "rounds.html.j2",
        HERE,
        {
            "waiting": [each for each in found if each.job.state == "waiting"],
            "at_work": [each for each in found if each.job.state in {"queued", "running"}],
            "over": over[first : first + PER_PAGE],
            "newer": f"{HERE}?page={first // PER_PAGE - 1}" if first else "",
            "older": f"{HERE}?page={first // PER_PAGE + 1}" if first + PER_PAGE < len(over) else "",
            "policy": policy,
            "outside_window": not may_run(policy, datetime.now()),
            "link_fault": take_pulse(console.home.join_processes, "c2lst-client join").fault,
            "enrolled": console.home.enrolment.exists(),
        },
        live=True,
    )


def one_round(console: Console, request: Request) -> Response:
    """Show what a round asks for, how it stands and what of it leaves."""
    job = find_round(console, request)
    policy = load_policy(console.home)
    sent = withhold(job.result, policy) if job.result else None
    folder = console.home.round(job.round_id)
    return console.page(
        request,
        "round.html.j2",
        HERE,
        {
            "round": view(job),
            "policy": policy,
            **about_offer(console, job),
            "sent": sent,
            "numbers": sent_numbers(sent) if sent else [],
            "arms": arm_views(sent) if sent else [],
            "body": sent.model_dump_json(indent=1) if sent else "",
            "folder": folder if folder.is_dir() else None,
        },
        live=True,
    )


def about_offer(console: Console, job: Job) -> dict[str, Any]:
    """Return what a page says about the offer: what would run, by hand too, and what would leave."""
    offer = job.offer
    return {
        "offer": offer,
        "card": read_card(console.home, offer.organ, offer.release) if offer else None,
        "steps": offer_words.sentences(offer) if offer else [],
        "commands": offer_words.commands(offer, job.slide) if offer else [],
        "leaving": leaving(offer, load_policy(console.home)) if offer else [],
        "status_fields": STATUS,
        "choice": choice_for(console.home, offer) if offer and job.state == "waiting" else None,
        "reasons": REASONS,
    }


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "0")
    return min(int(text), 1_000_000) if text.isascii() and text.isdecimal() and len(text) < 8 else 0
