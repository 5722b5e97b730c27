"""Somebody at the site lets a round run: within the limits of the policy, on a slide of its organ."""

from __future__ import annotations

import time
from dataclasses import dataclass

from c2lst_client.home import Home
from c2lst_client.rounds.handle import slides_of
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import load_policy, objection
from c2lst_client.rounds.queue_database import Job
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import DeclineReason, RoundOffer


@dataclass(frozen=True)
class Choice:
    """What somebody who decides on a round can choose from."""

    slides: list[str]  # of the round's organ
    against: DeclineReason | None  # why the policy of this moment forbids it


def choice_for(home: Home, offer: RoundOffer) -> Choice:
    """Return on which slides a round may run, and what the policy has against it.

    Raises:
        BadArtefact: the policy or the record of a slide is damaged.
    """
    slides = slides_of(home, offer.organ)
    return Choice(slides, objection(load_policy(home), offer, {offer.organ} if slides else set(), time.time()))


def approve(home: Home, round_id: str, slide: str | None = None) -> Job:
    """Queue a round that waits.

    Raises:
        BadInput: there is no such round, it does not wait, the policy forbids it, or the slide is not one of its organ.
    """
    queue = JobQueue(home.round_queue)
    job = queue.get(round_id)
    if job.offer is None or job.state != "waiting":
        raise BadInput(f"Round {job.round_id} is {job.state} and does not wait for a decision.")
    choice = choice_for(home, job.offer)
    if choice.against is not None:
        raise BadInput(
            f"The policy forbids round {job.round_id} ({choice.against}); change it with `c2lst-client policy set` first."
        )
    chosen = slide or job.slide
    if chosen is None or chosen not in choice.slides:
        raise BadInput(f"Say on which slide round {job.round_id} works: --site with one of {', '.join(choice.slides)}.")
    return queue.approve(job.round_id, chosen)
