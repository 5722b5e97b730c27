"""Leases: one owner at a time, and what a dead worker left goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fakes.round_site import ROUND, offer

from c2lst_client.rounds.job_queue import Decision
from c2lst_client.rounds.leases import CRASHES
from c2lst_shared.wire import RoundResult

OTHER = "fedcba9876543210"


def queued() -> Decision:
    return Decision("queued", slide="demo")


def test_one_of_many_workers_gets_a_round(queue, leases):
    queue.receive(offer(), queued)
    with ThreadPoolExecutor(8) as pool:
        claimed = [job for job in pool.map(lambda number: leases.claim(f"worker-{number}"), range(16)) if job]
    assert len(claimed) == 1


def test_oldest_comes_first(queue, leases, clock):
    queue.receive(offer(OTHER), queued)
    clock.now += 1
    queue.receive(offer(ROUND), queued)
    assert [leases.claim("a").round_id, leases.claim("a").round_id, leases.claim("a")] == [OTHER, ROUND, None]


def test_lease_that_ran_out_hands_the_round_on_and_the_old_owner_changes_nothing(queue, leases, clock):
    queue.receive(offer(), queued)
    leases.claim("first", 30)
    clock.now += 29
    assert leases.claim("second") is None
    assert leases.beat(ROUND, "first", 5, 30) is not None
    clock.now += 29
    assert leases.claim("second") is None
    clock.now += 2
    assert leases.claim("second").owner == "second"
    assert leases.beat(ROUND, "first", 5) is None
    leases.finish(ROUND, "first", RoundResult(round_id=ROUND))
    leases.fail(ROUND, "first", "internal", "")
    leases.cancelled(ROUND, "first")
    leases.put_back(ROUND, "first")
    leases.progress(ROUND, "first", stage="adapt", step=9, steps=9, eta=0, done=9)
    job = queue.find(ROUND)
    assert (job.state, job.owner, job.step, job.spent) == ("running", "second", None, 5)


def test_crash_that_repeats_itself_is_given_up_and_one_that_gets_further_is_not(queue, leases):
    queue.receive(offer(), queued)
    for number in range(CRASHES + 2):
        leases.claim("worker")
        leases.progress(ROUND, "worker", stage="adapt", step=number, steps=9, eta=None, done=number + 1)
        leases.crashed(ROUND, "worker")
    assert queue.find(ROUND).state == "queued"
    for _ in range(CRASHES - 1):
        leases.claim("worker")
        leases.crashed(ROUND, "worker")
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("failed", "crashed")


def test_round_that_was_put_back_waits_its_time_and_says_why(queue, leases, clock):
    queue.receive(offer(), queued)
    leases.claim("worker")
    leases.put_back(ROUND, "worker", "disk", "no space in /data/MRN-4711", 60)
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("queued", "disk")
    assert leases.claim("worker") is None
    clock.now += 61
    assert leases.claim("worker").error is None
