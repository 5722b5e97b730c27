"""The queue: one row per round, one owner at a time, and nothing that was acknowledged is lost."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fakes.round_site import ROUND, offer

from c2lst_client.rounds.job_queue import Decision
from c2lst_shared.errors import BadArtefact, BadInput

OTHER = "fedcba9876543210"


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


@pytest.mark.parametrize("state", ["waiting", "queued"])
def test_round_that_nobody_began_lapses_at_its_deadline(queue, leases, clock, state):
    queue.receive(offer(deadline=datetime.now(UTC) + timedelta(minutes=1)), lambda: Decision(state, slide="demo"))
    clock.now += 61
    assert (queue.find(ROUND).state, queue.find(ROUND).error) == ("failed", "deadline")
    assert leases.claim("worker") is None


def test_cancel_of_a_round_that_was_never_offered_is_remembered(queue, leases):
    assert queue.cancel(ROUND).state == "cancelled"
    assert queue.receive(offer(), queued).state == "cancelled"
    assert leases.claim("worker") is None


def test_cancel_asks_a_worker_and_ends_what_waits(queue, leases):
    queue.receive(offer(), queued)
    queue.receive(offer(OTHER), lambda: Decision("waiting"))
    leases.claim("worker")
    assert (queue.cancel(ROUND).state, queue.cancel(OTHER).state) == ("running", "cancelled")
    assert leases.beat(ROUND, "worker", 1).cancel
    leases.cancelled(ROUND, "worker")
    assert queue.cancel(ROUND).state == "cancelled"


def test_decisions_are_for_rounds_that_wait(queue, leases):
    queue.receive(offer(), lambda: Decision("waiting", slide="demo"))
    assert leases.claim("worker") is None
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


def test_queue_of_a_later_version_is_left_alone(queue, leases, tmp_path):
    queue.all()
    with sqlite3.connect(tmp_path / "rounds" / "queue.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(BadInput, match="newer version of c2lst"):
        leases.claim("worker")
