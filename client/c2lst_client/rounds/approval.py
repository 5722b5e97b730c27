"""Somebody at the site lets a round run: within the limits of the policy, on a slide of its organ."""

from __future__ import annotations

import time

from c2lst_client.home import Home
from c2lst_client.rounds.handle import slides_of
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import load_policy, objection
from c2lst_client.rounds.queue_database import Job
from c2lst_shared.errors import BadInput


def approve(home: Home, round_id: str, slide: str | None = None) -> Job:
    """Queue a round that waits.

    Raises:
        BadInput: there is no such round, it does not wait, the policy forbids it, or the slide is not one of its organ.
    """
    queue = JobQueue(home.round_queue)
    job = queue.get(round_id)
    if job.offer is None or job.state != "waiting":
        raise BadInput(f"Round {job.round_id} is {job.state} and does not wait for a decision.")
    slides = slides_of(home, job.offer.organ)
    against = objection(load_policy(home), job.offer, {job.offer.organ} if slides else set(), time.time())
    if against is not None:
        raise BadInput(f"The policy forbids round {job.round_id} ({against}); change it with `c2lst-client policy set` first.")
    chosen = slide or job.slide
    if chosen is None or chosen not in slides:
        raise BadInput(f"Say on which slide round {job.round_id} works: --site with one of {', '.join(slides)}.")
    return queue.approve(job.round_id, chosen)
