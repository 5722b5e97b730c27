"""Work in rounds with real processes: whatever is killed or asked to stop, it ends once and with the same adapter."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from fakes.round_site import ROUND, RoundSite, adapter_sha256, job_processes, offer
from fakes.small_disk import fill, small_disk
from fakes.toy_job import ToyJourney

from c2lst_client.audit import verify_chain
from c2lst_client.options import AdaptOptions
from c2lst_client.rounds.handle import answer_to, handle
from c2lst_client.rounds.policy import change_policy
from c2lst_client.settings import Settings
from c2lst_client.sites import open_site
from c2lst_shared.progress import Silent
from c2lst_shared.wire import Cancel, QueryStatus, RoundRefusal, RoundResult, RoundStatus, parse_answer

pytestmark = pytest.mark.slow

STEPS = 60
LONG = offer(steps=STEPS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter that `c2lst-client adapt --site` makes of the same choices."""
    site = RoundSite(tmp_path_factory.mktemp("undisturbed"))
    journey = ToyJourney(Settings(home=site.home.path), open_site(site.home, "demo"), progress=Silent(), stop=lambda: False)
    journey.adapt(AdaptOptions(fraction=0.5, steps=STEPS, seed=0, split="random"))
    return adapter_sha256(journey.site.adapter)


@pytest.fixture
def site(tmp_path):
    return RoundSite(tmp_path)


def in_mid_adaptation(job) -> bool:
    return job.state == "running" and job.stage == "adapt" and 10 <= (job.step or 0) < STEPS - 10


def tell(processes: list[int], what: signal.Signals) -> None:
    for process in processes:
        os.kill(process, what)


def fall_asleep(site: RoundSite, processes: list[int]) -> None:
    """Stop processes, but not in the middle of a transaction: that would lock the queue for as long as they sleep."""
    for _ in range(30):
        tell(processes, signal.SIGSTOP)
        try:
            with closing(sqlite3.connect(site.home.round_queue, timeout=1, isolation_level=None)) as queue:
                queue.execute("BEGIN IMMEDIATE")
                queue.rollback()
        except sqlite3.OperationalError:
            tell(processes, signal.SIGCONT)
            time.sleep(0.03)
        else:
            return
    raise AssertionError("the worker held the lock of the queue at each of thirty looks")


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    assert worker.wait(60) == 0


def test_undisturbed_round_gives_the_adapter_of_the_command(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(once=True)
    assert worker.wait(120) == 0
    assert site.job.state == "finished"
    assert site.adapter_sha256() == undisturbed
    assert not (open_site(site.home, "demo").adapter).exists()


def test_killed_process_is_taken_up_again_with_the_same_adapter(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1)
    site.wait(in_mid_adaptation)
    (first,) = job_processes(site.home)
    os.kill(first, signal.SIGKILL)
    site.wait(lambda job: job.state == "finished")
    assert site.adapter_sha256() == undisturbed
    assert first not in job_processes(site.home)
    end(worker)
    assert job_processes(site.home) == []


def test_killed_worker_takes_its_process_with_it_and_the_next_one_goes_on(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1, lease=2)
    site.wait(in_mid_adaptation)
    worker.kill()
    worker.wait()
    end_by = time.monotonic() + 30
    while job_processes(site.home):
        assert time.monotonic() < end_by, "an orphan works on"
        time.sleep(0.1)
    assert site.job.state == "queued"
    again = site.start_worker(once=True)
    assert again.wait(120) == 0
    assert site.job.state == "finished"
    assert site.adapter_sha256() == undisturbed


def test_everything_killed_at_once_is_taken_up_when_the_lease_has_run_out(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1, lease=2)
    site.wait(in_mid_adaptation)
    for process in (*job_processes(site.home), worker.pid):
        os.kill(process, signal.SIGKILL)
    worker.wait()
    time.sleep(2.5)
    assert site.job.state == "running"  # nobody was left to write anything down ...
    status = parse_answer(handle(site.home, QueryStatus(round_id=ROUND).body()))
    assert isinstance(status, RoundStatus)
    assert status.state == "queued"  # ... but it is not said to run
    again = site.start_worker(once=True, lease=2)
    assert again.wait(120) == 0
    assert site.job.state == "finished"
    assert site.adapter_sha256() == undisturbed


def test_polite_stop_gives_the_round_back_at_once(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1, lease=60)
    site.wait(in_mid_adaptation)
    end(worker)
    assert site.job.state == "queued"
    assert site.job.crashes == 0
    assert site.start_worker(once=True).wait(120) == 0
    assert site.adapter_sha256() == undisturbed


def test_two_workers_never_work_on_one_round(site, undisturbed):
    handle(site.home, LONG.body())
    workers = [site.start_worker(pause=0.05) for _ in range(2)]
    most = 0
    while site.job.state not in {"finished", "failed"}:
        most = max(most, len(job_processes(site.home)))
        time.sleep(0.05)
    assert most == 1
    assert site.adapter_sha256() == undisturbed
    for worker in workers:
        end(worker)


def test_worker_that_was_asleep_does_not_come_back_to_work_that_another_took_up(site, undisturbed):
    handle(site.home, LONG.body())
    workers = [site.start_worker(pause=0.1, lease=2)]
    site.wait(in_mid_adaptation)
    asleep = [*job_processes(site.home), workers[0].pid]
    fall_asleep(site, asleep)
    workers.append(site.start_worker(pause=0.0, lease=2))
    site.wait(lambda job: job.error == "busy")  # the folder is still held, so the other one waits
    tell(asleep, signal.SIGCONT)
    site.wait(lambda job: job.state == "finished", 120)
    assert site.adapter_sha256() == undisturbed
    for worker in workers:
        end(worker)


def test_cancel_reaches_work_that_runs(site):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1)
    site.wait(in_mid_adaptation)
    first = parse_answer(handle(site.home, Cancel(round_id=ROUND).body()))
    assert isinstance(first, RoundStatus)
    assert first.state == "running"  # it has been asked to stop, and has not yet
    site.wait(lambda job: job.state == "cancelled", 60)
    assert not (site.home.round(ROUND) / "adapter").exists()
    assert handle(site.home, LONG.body()) == handle(site.home, QueryStatus(round_id=ROUND).body())
    end(worker)


def test_deadline_ends_work_that_runs(site):
    handle(site.home, offer(steps=STEPS, deadline=datetime.now(UTC) + timedelta(seconds=8)).body())
    worker = site.start_worker(pause=0.5)
    job = site.wait(lambda job: job.state == "failed", 120)
    assert job.error == "deadline"
    end(worker)


def test_policy_that_says_never_stops_work_and_auto_goes_on_with_it(site, undisturbed):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1)
    site.wait(in_mid_adaptation)
    change_policy(site.home, {"mode": "never"})
    site.wait(lambda job: job.state == "queued", 60)
    change_policy(site.home, {"mode": "auto"})
    site.wait(lambda job: job.state == "finished")
    assert site.adapter_sha256() == undisturbed
    end(worker)


def test_work_that_ends_without_a_word_again_and_again_is_given_up(site):
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1)
    killed: set[int] = set()
    while site.job.state != "failed":
        for process in set(job_processes(site.home)) - killed:
            os.kill(process, signal.SIGKILL)
            killed.add(process)
        time.sleep(0.02)
    assert site.job.error == "crashed"
    assert len(killed) == 3
    end(worker)


def test_whole_round_gives_the_declared_numbers(site):
    handle(site.home, offer(evaluate=True, cotrain=True, seeds=1, ratios=(1,)).body())
    assert site.start_worker(once=True).wait(300) == 0
    result = answer_to(site.home, QueryStatus(round_id=ROUND))
    assert isinstance(result, RoundResult), site.job
    assert {arm.kind for arm in result.arms} >= {"mean", "real", "real+augmentation", "synthetic", "real+synthetic"}
    assert (result.train_spots, result.held_out_spots, result.genes) == (24, 25, 6)
    assert result.denoising_loss is not None
    assert result.denoising_loss.value > 0
    assert result.conditioning_r is not None
    assert all(arm.mae is not None for arm in result.arms)
    by_kind = {(arm.kind, arm.ratio): arm for arm in result.arms}
    assert by_kind["real", None].change is None
    assert by_kind["real+synthetic", 1].change is not None
    assert result.withheld == ()
    assert result.peak_memory_mib


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("no disk of its own can be mounted here: that needs root")
        yield tmp_path / "disk"


def test_full_disk_is_waited_for(disk, undisturbed):
    site = RoundSite(disk)
    handle(site.home, LONG.body())
    worker = site.start_worker(pause=0.1)
    site.wait(in_mid_adaptation)
    full = fill(disk)
    time.sleep(6)
    assert worker.poll() is None
    # An answer leaves where the log still has room for its line; the state of the round cannot be read then.
    assert {handle(site.home, QueryStatus(round_id=ROUND).body()) for _ in range(60)} <= {
        b"",
        RoundRefusal(code="internal").body(),
    }
    assert handle(site.home, QueryStatus(round_id=ROUND).body()) == b""
    assert not (site.home.round(ROUND) / "adapter").exists()
    full.unlink()
    site.wait(lambda job: job.state in {"finished", "failed"})
    assert site.job.state == "finished", site.job
    assert site.adapter_sha256() == undisturbed
    assert verify_chain(site.home.audit_log) >= 1
    status = parse_answer(handle(site.home, QueryStatus(round_id=ROUND).body()))
    assert isinstance(status, RoundResult)
    end(worker)


def numbers(site) -> dict[str, object]:
    result = answer_to(site.home, QueryStatus(round_id=ROUND))
    assert isinstance(result, RoundResult), site.job
    return result.model_dump(exclude={"seconds", "peak_memory_mib"})


def test_process_killed_in_every_stage_measures_the_same_numbers(tmp_path):
    whole = offer(evaluate=True, cotrain=True, seeds=1, ratios=(1,))
    calm, disturbed = RoundSite(tmp_path / "calm"), RoundSite(tmp_path / "disturbed")
    handle(calm.home, whole.body())
    assert calm.start_worker(once=True).wait(300) == 0
    handle(disturbed.home, whole.body())
    worker = disturbed.start_worker(pause=0.4)
    killed_in: set[str] = set()
    while disturbed.job.state not in {"finished", "failed"}:
        stage = disturbed.job.stage
        if stage in {"adapt", "backbone", "evaluate", "synthesise", "cotrain"} and stage not in killed_in:
            for process in job_processes(disturbed.home):
                os.kill(process, signal.SIGKILL)
                killed_in.add(stage)
        time.sleep(0.02)
    assert len(killed_in) >= 4
    assert numbers(disturbed) == numbers(calm)
    assert disturbed.adapter_sha256() == calm.adapter_sha256()
    end(worker)


def test_release_that_cannot_be_had_fails_with_a_class_and_its_words_stay(site, monkeypatch):
    monkeypatch.setattr("fakes.round_site.TOY_JOB", (os.sys.executable, "-m", "c2lst_client.rounds.job"))
    handle(site.home, LONG.body())
    assert site.start_worker(once=True).wait(120) == 0
    answer = answer_to(site.home, QueryStatus(round_id=ROUND))
    assert answer == RoundStatus(round_id=ROUND, state="failed", error="bad_input")
    assert "not enrolled" in (site.job.detail or "")
