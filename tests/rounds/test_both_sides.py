"""A centre and its sites with everything real but the wire between them: rounds end as if nothing had happened."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes.canaries import found_in
from fakes.central import Central
from fakes.round_site import ROUND, RoundSite, job_processes, offer
from fakes.round_transport import Wire
from fakes.small_site import SmallSite, grid_counts, h_and_e

from c2lst_client.audit import read_entries, verify_chain
from c2lst_client.rounds.approval import approve
from c2lst_client.rounds.handle import handle
from c2lst_client.rounds.policy import change_policy
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.panel import Panel
from c2lst_server.db.models import ACTIVE, Site
from c2lst_server.rounds import store
from c2lst_server.rounds.courier import Pace
from c2lst_server.rounds.drive import drive
from c2lst_server.rounds.store import RoundPlan, RoundView
from c2lst_shared.wire import QueryStatus, RoundResult, parse_answer

QUICK = Pace(between=0.1, running=0.2, resting=0.2, silent=0.2, after_deadline=0.5)


class Federation:
    """A centre, sites by name, and a wire in memory."""

    def __init__(self, folder: Path, *names: str, mode: str = "auto") -> None:
        self.central = Central(folder / "central")
        self.central.publish("first")
        self.sites = {name: RoundSite(folder / name, mode) for name in names}
        self.wire = Wire({name: partial(handle, site.home) for name, site in self.sites.items()})
        with self.central.session() as session:
            session.add_all(Site(name=name, state=ACTIVE, added=datetime.now(UTC)) for name in names)
            session.commit()

    def start(self, **plan: object) -> str:
        values = {"organ": "mob", "sites": tuple(self.sites), "steps": 6, "fraction": 0.5, "evaluate": False, "cotrain": False}
        with self.central.session() as session:
            return store.start(session, self.central.home, RoundPlan.model_validate(values | plan)).round_id

    def view(self, round_id: str) -> RoundView:
        with self.central.session() as session:
            return store.show(session, round_id)

    def drive(self, round_id: str, until: Callable[[RoundView], bool] = lambda view: view.closed is not None) -> RoundView:
        """Drive until the round is so; fail after two minutes."""
        end = time.monotonic() + 120

        def stop() -> bool:
            assert time.monotonic() < end, self.view(round_id)
            return until(self.view(round_id))

        drive(self.central.settings, round_id, self.wire, stop, pace=QUICK)
        return self.view(round_id)


@pytest.fixture
def federation(tmp_path: Path):
    made = Federation(tmp_path, "a", "b")
    yield made
    made.central.engine.dispose()


@pytest.mark.slow
def test_round_of_two_sites_ends_with_both_results(federation: Federation) -> None:
    round_id = federation.start()
    workers = [site.start_worker() for site in federation.sites.values()]
    found = federation.drive(round_id)
    assert [site.state for site in found.sites] == ["finished", "finished"]
    assert all(site.result is not None and site.result.train_spots == 24 for site in found.sites)
    for worker in workers:
        worker.terminate()
        assert worker.wait(60) == 0
    for site in federation.sites.values():
        assert len(site.queue.all()) == 1
        assert verify_chain(site.home.audit_log) == len(read_entries(site.home.audit_log)) > 1
        assert job_processes(site.home) == []


@pytest.mark.slow
def test_site_that_is_away_and_one_that_never_answers_hold_up_nobody(federation: Federation) -> None:
    change_policy(federation.sites["b"].home, {"mode": "ask"})
    round_id = federation.start(deadline_hours=25 / 3600)
    federation.wire.away = {"b"}
    worker = federation.sites["a"].start_worker(once=False)
    found = federation.drive(round_id, lambda view: view.sites[0].state == "finished")
    assert found.sites[1].in_words().startswith("unreachable since")
    federation.wire.away = set()
    found = federation.drive(round_id, lambda view: view.sites[1].state == "waiting")
    assert found.sites[1].in_words() == "waiting for approval"
    found = federation.drive(round_id)  # nobody approves
    assert [(site.state, site.error) for site in found.sites] == [("finished", None), ("failed", "deadline")]
    assert found.in_words() == "finished, 1 of 2 sites finished"
    worker.terminate()
    worker.wait(60)


@pytest.mark.slow
def test_approval_and_refusal_of_people_reach_the_centre(federation: Federation) -> None:
    for site in federation.sites.values():
        change_policy(site.home, {"mode": "ask"})
    round_id = federation.start()
    federation.drive(round_id, lambda view: {site.state for site in view.sites} == {"waiting"})
    approve(federation.sites["a"].home, round_id)
    federation.sites["b"].queue.decline(round_id)
    worker = federation.sites["a"].start_worker(once=True)
    found = federation.drive(round_id)
    assert [(site.state, site.reason) for site in found.sites] == [("finished", None), ("declined", "person")]
    worker.wait(60)


@pytest.mark.slow
def test_centre_from_an_older_backup_executes_nothing_twice(federation: Federation, tmp_path: Path) -> None:
    round_id = federation.start()
    federation.central.engine.dispose()
    database = federation.central.home.database
    backup = tmp_path / "backup.sqlite3"
    shutil.copy(database, backup)
    for site in federation.sites.values():
        federation.drive(round_id, lambda view: {site.state for site in view.sites} == {"queued"})
        assert site.start_worker(once=True).wait(120) == 0
    whole = federation.drive(round_id)
    made = {name: site.adapter_sha256(round_id) for name, site in federation.sites.items()}
    written = {name: site.job.updated for name, site in federation.sites.items()}
    federation.central.engine.dispose()
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    shutil.copy(backup, database)
    assert {site.state for site in federation.view(round_id).sites} == {"not_sent"}
    again = federation.drive(round_id)
    assert [site.result for site in again.sites] == [site.result for site in whole.sites]
    assert {name: site.adapter_sha256(round_id) for name, site in federation.sites.items()} == made
    assert {name: site.job.updated for name, site in federation.sites.items()} == written


@pytest.mark.slow
def test_cancelled_round_stops_work_that_runs(federation: Federation) -> None:
    round_id = federation.start(steps=400, sites=("a",))
    worker = federation.sites["a"].start_worker(pause=0.1)
    driving = threading.Thread(target=federation.drive, args=(round_id,))
    driving.start()
    federation_job = federation.sites["a"]
    end = time.monotonic() + 60
    while not federation_job.queue.all() or federation_job.job.stage != "adapt":
        assert time.monotonic() < end
        time.sleep(0.1)
    with federation.central.session() as session:
        store.cancel(session, round_id)
    driving.join()
    found = federation.view(round_id)
    assert (found.state, found.sites[0].state) == ("cancelled", "cancelled")
    assert not (federation_job.home.round(round_id) / "adapter").exists()
    worker.terminate()
    worker.wait(60)


PATIENT, GENE, BARCODE, COUNT = "MRN48271133", "CanaryGene77", "CANARYBARCODE", 48271


@pytest.mark.slow
def test_no_planted_pattern_leaves_in_any_encoding(tmp_path: Path) -> None:
    """Patterns in counts, barcodes, gene names, patches, paths and the slide's file name; a whole round and one that fails."""
    rng = np.random.default_rng(7)
    counts = grid_counts(12)
    counts[:, 3] = COUNT + rng.integers(0, 9, 49)
    pixels = h_and_e().copy()
    pixels[300:316, 300:316] = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    raw = SmallSite(
        counts=counts,
        genes=["Dense", *[f"{GENE}{number}" for number in range(11)]],
        barcodes=[f"{BARCODE}-{number}" for number in range(49)],
        pixels=pixels,
        name=PATIENT,
    )
    folder = tmp_path / "canarypath9182"
    site = RoundSite.with_h5ad(folder, raw)
    answers = [handle(site.home, offer(evaluate=True, cotrain=True, seeds=1, ratios=(1,)).body())]
    worker = site.start_worker(once=True)
    while worker.poll() is None:
        answers.append(handle(site.home, QueryStatus(round_id=ROUND).body()))
        time.sleep(0.3)
    answers.append(handle(site.home, QueryStatus(round_id=ROUND).body()))
    result = parse_answer(answers[-1])
    assert isinstance(result, RoundResult), site.job
    assert result.withheld == ()
    for path in folder.glob("raw/*"):  # the second round cannot read its spots, and says where they were: here only
        path.unlink()
    other = offer("f" * 16)
    answers.append(handle(site.home, other.body()))
    assert site.start_worker(once=True).wait(120) == 0
    answers.append(handle(site.home, other.body()))
    failed = site.queue.get(other.round_id)
    assert failed.state == "failed"
    assert str(folder) in (failed.detail or "")

    work = site.home.round(ROUND)
    spots, panel = PairSet.open(work / "spots"), Panel.load(work / "adapter" / "panel.json")
    vectors = [spots.counts.toarray(), panel.transform(spots.counts, spots.genes)]
    patterns = [word.encode() for word in (PATIENT, GENE, BARCODE, "canarypath9182", str(COUNT))]
    for matrix in vectors:
        for kind in (np.float32, np.float64, np.int32):
            patterns += [row.astype(kind).tobytes()[start : start + 16] for row in matrix[::7] for start in (0, 8)]
    patterns += [patch[8].tobytes()[:16] for patch in spots.patches(range(0, 49, 7))]
    patterns = [pattern for pattern in patterns if len(set(pattern)) > 3]
    assert len(patterns) > 60
    log = site.home.audit_log.read_bytes()
    left = b"\n".join([*answers, log])
    assert found_in(left, patterns) == []
    numbers = {f"{value:.6g}" for value in vectors[1].ravel()} | {f"{value:.6g}" for value in spots.counts.data if value > 40}
    said = {each for line in left.splitlines() for each in _numbers(line)}
    assert said.isdisjoint(numbers)
    assert not {word for word in (PATIENT, GENE, BARCODE) if word.lower() in left.decode().lower()}
    # the search itself finds what is there
    for hidden in (
        gzip.compress(log[:50] + patterns[0]),
        json.dumps({"x": base64.b64encode(b"ab" + patterns[-1] + b"z").decode()}).encode(),
        patterns[5].hex().encode(),
    ):
        assert found_in(left + b"\n" + hidden, patterns)


def _numbers(line: bytes) -> list[str]:
    """The measured numbers of a line; times and sizes are left out, which count nothing of the site's spots."""
    found: list[str] = []

    def walk(value: object, name: str = "") -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, key)
        elif isinstance(value, list):
            for each in value:
                walk(each, name)
        elif isinstance(value, float):
            found.append(f"{value:.6g}")

    walk(json.loads(line))
    return found


def test_deadline_of_an_offer_is_that_of_the_plan(federation: Federation) -> None:
    before = datetime.now(UTC)
    found = federation.view(federation.start(deadline_hours=2))
    assert timedelta(hours=2) <= found.offer.deadline - before < timedelta(hours=2, minutes=1)
