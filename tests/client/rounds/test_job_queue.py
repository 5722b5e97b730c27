"""The queue: one row per round, one owner at a time, and nothing that was acknowledged is lost."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fakes.round_site import ROUND, offer

from c2lst_client.rounds.job_queue import CRASHES, Decision, JobQueue
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.wire import RoundResult

OTHER = "fedcba9876543210"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    return JobQueue(tmp_path / "rounds" / "queue.sqlite3", clock)


def queued() -> Decision:
    return Decision("queued", slide="demo")


def test_same_offer_many_times_at_once_is_one_row(queue):
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: queue.receive(offer(), queued), range(32)))
    assert len({job.received for job in jobs}) == 1
    assert len(queue.all()) == 1


def test_changed_offer_under_the_same_identifier_changes_nothing(queue):
    queue.receive(offer(steps=6), queued)
    assert queue.receive(offer(steps=600), queued).offer.steps == 6


def test_one_of_many_workers_gets_a_round(queue):
    queue.receive(offer(), queued)
    with ThreadPoolExecutor(8) as pool:
        claimed = [job for job in pool.map(lambda number: queue.claim(f"worker-{number}"), range(16)) if job]
    assert len(claimed) == 1


def test_oldest_comes_first(queue, clock):
    queue.receive(offer(OTHER), queued)
    clock.now += 1
    queue.receive(offer(ROUND), queued)
    assert [queue.claim("a").round_id, queue.claim("a").round_id, queue.claim("a")] == [OTHER, ROUND, None]


def test_lease_that_ran_out_hands_the_round_on_and_the_old_owner_changes_nothing(queue, clock):
    queue.receive(offer(), queued)
    queue.claim("first", 30)
    clock.now += 29
    assert queue.claim("second") is None
    assert queue.beat(ROUND, "first", 5, 30) is not None
    clock.now += 29
    assert queue.claim("second") is None
    clock.now += 2
    assert queue.claim("second").owner == "second"
    assert queue.beat(ROUND, "first", 5) is None
    queue.finish(ROUND, "first", RoundResult(round_id=ROUND))
    queue.fail(ROUND, "first", "internal", "")
    queue.cancelled(ROUND, "first")
    queue.put_back(ROUND, "first")
    queue.progress(ROUND, "first", stage="adapt", step=9, steps=9, eta=0, done=9)
    job = queue.find(ROUND)
    assert (job.state, job.owner, job.step, job.spent) == ("running", "second", None, 5)


def test_crash_that_repeats_itself_is_given_up_and_one_that_gets_further_is_not(queue):
    queue.receive(offer(), queued)
    for number in range(CRASHES + 2):
        queue.claim("worker")
        queue.progress(ROUND, "worker", stage="adapt", step=number, steps=9, eta=None, done=number + 1)
        queue.crashed(ROUND, "worker")
    assert queue.find(ROUND).state == "queued"
    for _ in range(CRASHES - 1):
        queue.claim("worker")
        queue.crashed(ROUND, "worker")
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("failed", "crashed")


def test_round_that_was_put_back_waits_its_time_and_says_why(queue, clock):
    queue.receive(offer(), queued)
    queue.claim("worker")
    queue.put_back(ROUND, "worker", "disk", "no space in /data/MRN-4711", 60)
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("queued", "disk")
    assert queue.claim("worker") is None
    clock.now += 61
    assert queue.claim("worker").error is None


@pytest.mark.parametrize("state", ["waiting", "queued"])
def test_round_that_nobody_began_lapses_at_its_deadline(queue, clock, state):
    queue.receive(offer(deadline=datetime.now(UTC) + timedelta(minutes=1)), lambda: Decision(state, slide="demo"))
    clock.now += 61
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("failed", "deadline")
    assert queue.claim("worker") is None


def test_cancel_of_a_round_that_was_never_offered_is_remembered(queue):
    assert queue.cancel(ROUND).state == "cancelled"
    assert queue.receive(offer(), queued).state == "cancelled"
    assert queue.claim("worker") is None


def test_cancel_asks_a_worker_and_ends_what_waits(queue):
    queue.receive(offer(), queued)
    queue.receive(offer(OTHER), lambda: Decision("waiting"))
    queue.claim("worker")
    assert (queue.cancel(ROUND).state, queue.cancel(OTHER).state) == ("running", "cancelled")
    assert queue.beat(ROUND, "worker", 1).cancel
    queue.cancelled(ROUND, "worker")
    assert queue.cancel(ROUND).state == "cancelled"


def test_decisions_are_for_rounds_that_wait(queue):
    queue.receive(offer(), lambda: Decision("waiting", slide="demo"))
    assert queue.claim("worker") is None
    assert queue.approve(ROUND[:5], "demo").state == "queued"
    with pytest.raises(BadInput, match="is queued and does not wait for a decision"):
        queue.decline(ROUND)


def test_unknown_or_ambiguous_round_names_those_that_there_are(queue):
    with pytest.raises(BadInput, match="'f' names no round; the rounds are: none yet"):
        queue.get("f")
    queue.receive(offer("f" * 16), queued)
    queue.receive(offer("f" * 15 + "0"), queued)
    with pytest.raises(BadInput, match="'f' names 2 rounds; the rounds are: "):
        queue.get("f")
    assert queue.get("f" * 16).round_id == "f" * 16


def test_queue_is_for_its_owner_only(queue, tmp_path):
    queue.receive(offer(), queued)
    assert stat.S_IMODE((tmp_path / "rounds" / "queue.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "rounds").stat().st_mode) == 0o700


def test_damaged_queue_is_named(queue, tmp_path):
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds" / "queue.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(BadArtefact, match="is damaged"):
        queue.all()


def test_queue_of_a_later_version_is_left_alone(queue, tmp_path):
    queue.all()
    with sqlite3.connect(tmp_path / "rounds" / "queue.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(BadArtefact, match="another version"):
        queue.claim("worker")
