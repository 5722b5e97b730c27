"""Whatever dies in the middle of an adaptation, the round ends once, with the adapter of a run that nothing disturbed.

One round over the real transport meets all of these faults, one after the other, while its work is held back so that each of
them comes in the middle; the last test lets it finish. Everything runs as `serve`, `superlink` and `join` start it, but for
that brake on the working process.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import filelock
import psutil
import pytest
from fakes.central import Central
from fakes.federation import Federation, needs_nginx, wait_for
from fakes.round_in_progress import RoundInProgress, back_up, mentioning, restore
from fakes.round_site import adapter_sha256
from fakes.slow_job import BRAKE
from fakes.small_disk import fill, small_disk
from fakes.small_site import SmallSite
from fakes.toy_release import BACKBONE, TOY

from c2lst_client.audit import read_entries, verify_chain
from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import change_policy
from c2lst_client.sites import add_site, open_site
from c2lst_server.federation.control import open_control
from c2lst_server.federation.link import Link
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.errors import TransferFailed

pytestmark = [pytest.mark.slow, pytest.mark.federation, pytest.mark.timeout(600)]

STEPS = 500
ASKED = ("--steps", str(STEPS), "--fraction", "0.5", "--seed", "3")
OUTAGE = float(os.environ.get("C2LST_OUTAGE_SECONDS", "0"))  # at least; 90 was tried by hand


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoundInProgress]:
    """A round in mid-adaptation, and a backup of the centre from before the site was offered it."""
    needs_nginx()
    federation = Federation(tmp_path_factory.mktemp("faults"))
    federation.prepare()
    preset = TOY.model_copy(update={"adaptation": TOY.adaptation.model_copy(update={"checkpoint_every": 2})})
    central = Central(federation.centre)
    central.publish("first", weights=build_backbone(BACKBONE, seed=0).state_dict(), preset=preset)
    central.engine.dispose()
    with ExitStack() as undo:
        undo.enter_context(small_disk(federation.site("a"), megabytes=320))
        undo.callback(federation.stop_all)
        federation.start_nginx()
        federation.start_api()
        start_centre(federation)
        federation.enrol("a")
        home = Home(federation.site("a"))
        add_site(home, "demo", organ="mob", spots=SmallSite().write_legacy(federation.folder / "raw"))
        change_policy(home, {"mode": "auto"})
        (home.path / BRAKE).touch()
        wait_for(lambda: states_of_nodes(federation), 60, "SuperLink knows the site's key")
        asked = ("rounds", "start", "--organ", "mob", "--sites", "a", "--no-evaluate", "--no-cotrain", "--json", *ASKED)
        round_id = json.loads(federation.server(*asked))["round_id"]
        back_up(federation.centre, federation.folder / "backup")
        federation.start_site("a", mode="slow-site")
        found = RoundInProgress(federation, round_id, STEPS)
        wait_for(JobQueue(home.round_queue).all, 90, "the offer has come")
        found.in_mid_adaptation()
        yield found


def start_centre(federation: Federation) -> None:
    federation.start_command("centre", "c2lst_server", "superlink", "--port", str(federation.link_port), "--json")


def states_of_nodes(federation: Federation) -> list[str]:
    """What SuperLink says of the keys that it knows; nothing while it is away."""
    try:
        with open_control(Link(federation.centre / "superlink", federation.link_port)) as control:
            return [node.status for node in control.nodes()]
    except (TransferFailed, OSError):
        return []


def test_killed_working_process(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    process = running.process()

    process.kill()

    running.goes_on("working process", time.time(), 150)
    assert running.process() != process


def test_killed_worker(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    process, worker = running.process(), running.federation.child("a", "worker")

    os.kill(worker, signal.SIGKILL)

    running.goes_on("worker", time.time(), 150)
    assert running.process() != process, "the process of the worker that was killed has ended"
    assert running.federation.child("a", "worker") != worker


@pytest.mark.parametrize("victim", ["app", "node"])
def test_killed_process_of_the_link(running: RoundInProgress, victim: str) -> None:
    running.in_mid_adaptation()
    process, killed = running.process(), running.federation.child("a", victim)

    os.kill(killed, signal.SIGKILL)

    running.goes_on(victim, time.time(), 150)
    assert running.process() == process, "the work hangs on no connection"
    assert running.federation.child("a", victim) != killed


def test_killed_superlink(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    process, killed = running.process(), running.federation.child("centre", "superlink")
    before = psutil.Process(killed).children(recursive=True)

    os.kill(killed, signal.SIGKILL)

    running.goes_on("superlink", time.time(), 150)
    assert running.process() == process
    assert not [child for child in before if child.is_running()]


def test_killed_server_and_the_working_process_begins_without_it(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    running.federation.kill("api")
    process = running.process()
    process.kill()

    running.goes_on("server and working process", time.time(), 150)

    assert running.process() != process
    running.federation.start_api()


def test_killed_proxy(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    process, workers = running.process(), running.federation.children("nginx")
    running.federation.kill("nginx")
    for worker in workers:
        worker.kill()

    running.federation.start_nginx()

    running.goes_on("nginx", time.time(), 120)
    assert running.process() == process


def test_outage_of_the_network(running: RoundInProgress) -> None:
    """It lasts until SuperLink has given the site up, which takes two heartbeats that did not come, and OUTAGE at least."""
    running.in_mid_adaptation()
    process, before, began = running.process(), running.step, time.monotonic()
    running.federation.stop("nginx")

    wait_for(lambda: states_of_nodes(running.federation) == ["offline"], 120, "SuperLink has given the site up")
    wait_for(lambda: time.monotonic() - began >= OUTAGE, OUTAGE + 1, "the outage is over")
    assert running.at_centre().unreachable_since is not None
    assert running.step > before, "the work goes on meanwhile"
    running.federation.start_nginx()

    running.goes_on(f"network away for {time.monotonic() - began:.0f} s", time.time(), 120)
    assert running.process() == process


def test_full_disk(running: RoundInProgress) -> None:
    if not running.home.path.is_mount():
        pytest.skip("no disk of its own can be mounted here: that needs root")
    running.in_mid_adaptation()
    process = running.process()

    full = fill(running.home.path)
    wait_for(lambda: not process.is_running(), 60, "the process has given up")
    full.unlink()

    running.goes_on("disk full", time.time(), 150)


def test_centre_from_a_backup(running: RoundInProgress) -> None:
    """The backup knows the round, and nothing of what the site said of it."""
    running.in_mid_adaptation()
    process, received = running.process(), running.job.received
    for name in ("centre", "api"):
        running.federation.stop(name)

    restore(running.federation.folder / "backup", running.federation.centre)

    found = running.at_centre()
    assert (found.state, found.answered) == ("not_sent", None)
    began = time.time()
    running.federation.start_api()
    start_centre(running.federation)
    running.goes_on("centre from a backup", began, 200)
    assert running.process() == process, "the offer that came again has started nothing"
    assert running.job.received == received


def test_round_ends_once_and_as_if_nothing_had_happened(running: RoundInProgress) -> None:
    running.in_mid_adaptation()
    federation, home = running.federation, running.home

    (home.path / BRAKE).unlink()
    wait_for(lambda: running.at_centre().state == "finished", 240, "the centre has the result")

    print({fault: round(seconds) for fault, seconds in running.took.items()})
    federation.client("a", "adapt", "--site", "demo", "--split", "random", *ASKED, seconds=300)
    undisturbed = open_site(home, "demo").adapter
    assert adapter_sha256(home.round(running.round_id) / "adapter") == adapter_sha256(undisturbed)
    assert len(json.loads((home.round(running.round_id) / "adapter" / "losses.json").read_text())) == STEPS
    assert running.job.state == "finished"
    entries = read_entries(home.audit_log)
    assert verify_chain(home.audit_log) == len(entries)
    assert [entry.message for entry in entries].count("RoundResult") == 1
    assert running.processes() == [], "nobody works on"

    federation.stop_all()

    assert mentioning(federation.folder) == [], "no process is left"
    locks = [*home.path.rglob(".lock"), *federation.centre.rglob(".lock")]
    assert len(locks) >= 3
    for lock in locks:
        with filelock.FileLock(lock, timeout=0):
            assert Path(lock).exists()
