"""A site's metrics are read on this machine, when somebody asked for them, and hold no name and no path."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from fakes.round_site import ROUND, RoundSite, offer
from prometheus_client import CollectorRegistry, generate_latest

from c2lst_client.home import Home
from c2lst_client.metrics import SiteMetrics
from c2lst_client.rounds.handle import handle
from c2lst_client.rounds.leases import Leases


def values(metrics: SiteMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("c2lst_client_"), *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def text(metrics: SiteMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_empty_home_has_nothing_and_stays_empty(tmp_path: Path) -> None:
    found = values(SiteMetrics(Home(tmp_path)))
    assert (found["linked",], found["last_contact_timestamp_seconds",], found["jobs", "queued"]) == (0, 0, 0)
    assert (found["adapters", "slide"], found["adapters", "round"], found["releases",]) == (0, 0, 0)
    assert found["disk_free_bytes",] > 0
    assert list(tmp_path.iterdir()) == []


def test_home_that_is_not_there_is_said_to_be_unreadable(tmp_path: Path) -> None:
    found = values(SiteMetrics(Home(tmp_path / "nowhere")))
    assert (found["state_readable", "disk"], found["state_readable", "queue"]) == (0, 1)


def test_work_is_shown_by_state_stage_and_step(tmp_path: Path) -> None:
    site = RoundSite(tmp_path)
    handle(site.home, offer().body())
    handle(site.home, offer("fedcba9876543210").body())
    leases = Leases(site.home.round_queue)
    leases.claim("somebody")
    leases.progress(ROUND, "somebody", stage="adapt", step=3, steps=6, eta=2.0, done=3)
    found = values(SiteMetrics(site.home))
    assert (found["jobs", "running"], found["jobs", "queued"], found["jobs", "finished"]) == (1, 1, 0)
    assert (found["stage", "adapt"], found["stage", "pull"], found["step",], found["steps",]) == (1, 0, 3, 6)


def test_link_is_lost_some_time_after_the_last_answer(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.contact.parent.mkdir(parents=True)
    home.contact.touch()
    last = home.contact.stat().st_mtime
    for later, linked in ((0, 1), (60, 1), (91, 0), (-5, 0)):  # a clock that was set back proves nothing
        found = values(SiteMetrics(home, clock=lambda later=later: last + later))  # type: ignore[misc]
        assert (found["linked",], found["last_contact_timestamp_seconds",]) == (linked, last), later


def test_processes_are_those_of_the_supervisor(tmp_path: Path) -> None:
    found = values(SiteMetrics(Home(tmp_path), lambda: {"node": (True, 1), "worker": (False, 4)}))
    assert (found["process_up", "node"], found["process_up", "worker"]) == (1, 0)
    assert found["process_starts_total", "worker"] == 4


def test_metrics_name_no_slide_round_or_path(tmp_path: Path) -> None:
    site = RoundSite(tmp_path)
    handle(site.home, offer().body())
    said = text(SiteMetrics(site.home))
    for secret in ("demo", ROUND, str(tmp_path), "raw", "mob"):
        assert secret not in said


def test_damaged_queue_leaves_the_other_figures(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.rounds.mkdir()
    home.round_queue.write_bytes(b"no database at all" * 100)
    found = values(SiteMetrics(home))
    assert (found["state_readable", "queue"], found["state_readable", "disk"]) == (0, 1)


@pytest.mark.slow
def test_worker_serves_metrics_on_loopback_alone_and_logs_json_without_words_of_the_data(tmp_path: Path) -> None:
    """A round that fails on this slide's own files: what is wrong with them stays out of the log."""
    site = RoundSite(tmp_path)
    handle(site.home, offer().body())
    for path in (tmp_path / "raw").rglob("*"):
        if path.suffix in {".tsv", ".gz", ".csv"}:
            path.write_text("AAACCTGAGAAACCAT-1\tnot\ta\tcount\n")
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port = found.getsockname()[1]
    command = [sys.executable, "-c", "from c2lst_client.cli import main; main()", "worker", "--home", str(site.home.path)]
    with (tmp_path / "log").open("wb") as lines:
        worker = subprocess.Popen([*command, "--log-format", "json", "--metrics-port", str(port)], stdout=lines, stderr=lines)
    try:
        site.wait(lambda job: job.error is not None)
        assert "c2lst_client_jobs" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        until = time.monotonic() + 30
        while "ended" not in (tmp_path / "log").read_text() and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait(60)
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if not line.startswith("Took up")]
    said = [json.loads(line) for line in lines]
    assert {line["round"] for line in said} == {ROUND}
    assert any("stopped" in line["message"] and "exc_info" in line for line in said)
    for secret in (str(tmp_path), "AAACCTGAGAAACCAT", "demo", "raw"):
        assert secret not in "\n".join(lines)
