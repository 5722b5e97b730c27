"""Folders of rounds go when the rounds are over and old, and never before; rows and results stay."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from fakes.round_site import ROUND, RoundSite, offer

from c2lst_client.rounds import worker
from c2lst_client.rounds.cleaning import DAY, REMOVED, clean_rounds, find_old_rounds
from c2lst_client.rounds.handle import answer_to, handle
from c2lst_client.rounds.policy import change_policy
from c2lst_client.settings import Settings
from c2lst_shared import locking
from c2lst_shared.wire import QueryStatus, RoundResult

OTHER, NEVER_OFFERED, STRANGE = "fedcba9876543210", "1" * 16, "2" * 16


@pytest.fixture
def site(tmp_path: Path) -> RoundSite:
    return RoundSite(tmp_path)


def fill(site: RoundSite, round_id: str) -> Path:
    folder = site.home.round(round_id)
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "weights").write_bytes(b"weights")
    return folder


def finished(site: RoundSite, round_id: str = ROUND) -> Path:
    handle(site.home, offer(round_id).body())
    site.leases.claim("worker")
    site.leases.finish(round_id, "worker", RoundResult(round_id=round_id, genes=6))
    return fill(site, round_id)


def later(days: float) -> float:
    return time.time() + days * DAY


def test_folder_goes_when_it_is_old_and_the_centre_still_gets_the_result(site: RoundSite) -> None:
    folder = finished(site)
    assert clean_rounds(site.home, 30, lambda: later(29.9)) == []
    assert (folder / "adapter" / "weights").exists()
    (old,) = clean_rounds(site.home, 30, lambda: later(30.1))
    assert (old.job.round_id, old.size, round(old.days)) == (ROUND, len(b"weights"), 30)
    assert sorted(path.name for path in site.home.rounds.iterdir() if path.is_dir()) == []
    assert answer_to(site.home, QueryStatus(round_id=ROUND)).kind == "result"
    assert clean_rounds(site.home, 0, lambda: later(31)) == []


def test_only_rounds_that_are_over_are_cleaned(site: RoundSite) -> None:
    """One that runs, though its lease has run out; one that waits; one that the queue does not know."""
    handle(site.home, offer().body())
    site.leases.claim("worker", 0.0)
    change_policy(site.home, {"mode": "ask"})
    handle(site.home, offer(OTHER).body())
    folders = [fill(site, round_id) for round_id in (ROUND, OTHER, STRANGE)]
    site.queue.cancel(NEVER_OFFERED)
    assert clean_rounds(site.home, 0) == []
    assert all(folder.is_dir() for folder in folders)


def test_folder_that_is_still_used_is_kept(site: RoundSite) -> None:
    """By a process that was asleep, for example, while another one finished its round."""
    folder, other = finished(site), finished(site, OTHER)
    with locking.locked(folder / ".lock", "used"):
        assert [old.job.round_id for old in clean_rounds(site.home, 0)] == [OTHER]
    assert (folder.is_dir(), other.exists()) == (True, False)
    assert [old.job.round_id for old in clean_rounds(site.home, 0)] == [ROUND]


def test_interrupted_removal_is_finished_by_the_next_one(site: RoundSite, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = finished(site)

    def die(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            clean_rounds(site.home, 0)
    assert not folder.exists(), "no half of a folder has its name"
    left = folder.with_name(f"{ROUND}{REMOVED}")
    assert left.is_dir()
    assert clean_rounds(site.home, 0) == []
    assert not left.exists()


def test_looking_makes_nothing(tmp_path: Path) -> None:
    site = RoundSite(tmp_path)
    assert (find_old_rounds(site.home, 0), clean_rounds(site.home, 0)) == ([], [])
    assert not site.home.rounds.exists()


def test_worker_cleans_by_the_policy(site: RoundSite) -> None:
    folder = finished(site)
    settings = Settings(home=site.home.path)
    worker.supervise(settings, lambda: False, once=True)
    assert folder.is_dir()
    change_policy(site.home, {"keep_rounds_days": 0})
    worker.supervise(settings, lambda: False, once=True)
    assert not folder.exists()
