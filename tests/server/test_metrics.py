"""Metrics tell the operator how the service is, tell nobody else, and name no site, address or path."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import httpx
import pytest
from fakes.central import Central, serving
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from c2lst_server import state_metrics
from c2lst_server.app import create_app
from c2lst_server.db.models import Round, RoundSite, Site
from c2lst_server.readiness import readiness_checks
from c2lst_server.state_metrics import StateMetrics
from c2lst_server.trainings import store
from c2lst_server.trainings.job_queue import TrainingQueue
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.store import State
from c2lst_shared.errors import BadInput
from c2lst_shared.metrics_listener import MetricsPlace, serving_metrics

TOKEN = "0123456789abcdef-metrics"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


def state(central: Central, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dict[tuple[str, ...], float]:
    """(name without prefix, label values...) -> value."""
    registry = CollectorRegistry()
    checks = readiness_checks(central.settings, central.engine, clock)
    registry.register(StateMetrics(central.home, central.engine, checks, clock))
    return values(sample for family in registry.collect() for sample in family.samples)


def values(samples: object) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for sample in samples:  # type: ignore[attr-defined]
        assert isinstance(sample, Sample)
        found[(sample.name.removeprefix("c2lst_server_"), *sample.labels.values())] = sample.value
    return found


def fill(central: Central, now: datetime) -> None:
    with central.session() as session:
        for number, kind in enumerate(("active", "active", "invited", "suspended")):
            session.add(Site(name=f"hospital-{number}", state=kind, added=now))
        for number, (closed, cancelled) in enumerate(((None, None), (now, None), (None, now), (now, now))):
            row = Round(round_id=f"{number:016x}", offer="{}", started=now, deadline=now, closed=closed, cancelled=cancelled)
            row.sites = [
                RoundSite(site="hospital-0", state="running", unreachable_since=now - timedelta(minutes=10)),
                RoundSite(site="hospital-1", state="failed", error="memory"),
            ]
            if number == 1:
                row.sites[0].error = "deadline"
            session.add(row)
        session.commit()


def test_state_is_counted_by_state(central: Central) -> None:
    now = datetime.now(UTC)
    fill(central, now)
    found = state(central, lambda: now)
    assert {key[1]: value for key, value in found.items() if key[0] == "sites"} == {"active": 2, "invited": 1, "suspended": 1}
    assert {key[1]: value for key, value in found.items() if key[0] == "rounds"} == {
        "open": 1,
        "finished": 1,
        "cancelling": 1,
        "cancelled": 1,
    }
    assert (found["round_sites", "running"], found["round_sites", "failed"], found["round_sites", "late"]) == (3, 4, 1)
    assert (found["silent_sites",], found["longest_silence_seconds",]) == (2, pytest.approx(600, abs=1))
    assert (found["releases", "mob"], found["runs", "finished"]) == (1, 1)
    assert found["disk_free_bytes",] > 0
    days = {role: found["role_expiry_seconds", role] / 86400 for role in ("root", "targets", "mob", "snapshot", "timestamp")}
    assert 364 < days["root"] <= 365
    assert 89 < days["targets"] <= 90
    assert 89 < days["mob"] <= 90
    assert 29 < days["snapshot"] <= 30
    assert 6 < days["timestamp"] <= 7
    assert all(found["ready", check] == 1 for check in ("database", "metadata", "disk"))


def test_trainings_are_counted_as_the_queue_stands(central: Central, tmp_path: Path) -> None:
    (tmp_path / "images" / "sections").mkdir(parents=True)
    settings = central.settings.model_copy(update={"images": tmp_path / "images"})
    now = datetime.now(UTC)
    with central.session() as session:
        for run in ("runs", "waits"):
            plan = TrainingPlan(organ="mob", images="sections", preset="tiny", run=run)
            store.queue(session, settings, plan, now=now - timedelta(minutes=4))
    TrainingQueue(central.engine, lambda: now - timedelta(seconds=20)).claim("one")
    found = state(central, lambda: now)
    assert {key[1]: value for key, value in found.items() if key[0] == "trainings" and value} == {"running": 1, "queued": 1}
    assert {key[1] for key in found if key[0] == "trainings"} == set(get_args(State))  # those that none is in as well
    assert (found["longest_training_wait_seconds",], found["longest_training_silence_seconds",]) == (240, 20)


def test_clock_that_runs_on_shows_what_has_expired(central: Central) -> None:
    found = state(central, lambda: datetime.now(UTC) + timedelta(days=8))
    assert found["role_expiry_seconds", "timestamp"] < 0 < found["role_expiry_seconds", "snapshot"]
    assert found["ready", "metadata"] == 0


def test_part_that_cannot_be_read_leaves_the_others(central: Central) -> None:
    with central.engine.begin() as connection:
        connection.execute(text("DROP TABLE round_sites"))
    central.newest("timestamp").write_text("{")
    found = state(central)
    assert (found["state_readable", "database"], found["state_readable", "metadata"]) == (0, 0)
    assert (found["state_readable", "disk"], found["ready", "metadata"]) == (1, 0)
    assert ("sites", "active") not in found
    assert found["disk_free_bytes",] > 0


def test_state_is_read_once_in_some_seconds(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    collector = StateMetrics(central.home, central.engine, {"it": lambda: reads.append(1)})
    for _ in range(20):
        assert collector.collect()
    assert len(reads) == 1
    monkeypatch.setattr(state_metrics, "KEPT_SECONDS", 0)
    collector = StateMetrics(central.home, central.engine, {"it": lambda: reads.append(1)})
    collector.collect()
    collector.collect()
    assert len(reads) == 3


def test_requests_are_counted_by_route_and_status(central: Central) -> None:
    application = create_app(central.settings)
    with serving(central, application=application), httpx.Client(base_url=central.url, trust_env=False) as http:
        http.get("/api/v1/releases/mob/1")
        http.get("/api/v1/releases/mob/7")
        http.get(f"/tuf/targets/mob/1/{central.served('manifest.json').name}")
        http.get("/AAACCTGAGAAACCAT/secret", headers={"User-Agent": "hospital-a"})
        http.request("BREW", "/healthz")
        http.get("/api/v1/sites/me")
    counted = values(sample for family in application.state.metrics.registry.collect() for sample in family.samples)
    requests = {key[1:]: value for key, value in counted.items() if key[0] == "requests_total"}
    assert requests == {
        ("GET", "/api/v1/releases/{organ}/{number}", "200"): 1,
        ("GET", "/api/v1/releases/{organ}/{number}", "404"): 1,
        ("GET", "/tuf/targets/{path:path}", "200"): 1,
        ("GET", "other", "404"): 1,
        ("other", "/healthz", "405"): 1,
        ("GET", "/api/v1/sites/me", "401"): 1,
    }
    assert counted["request_seconds_count", "/healthz"] == 1
    assert "AAACCTGAGAAACCAT" not in str(counted)


def test_refusals_of_the_database_are_counted(central: Central) -> None:
    application = create_app(central.settings)
    with application.state.sessions() as session, pytest.raises(OperationalError):
        session.execute(text("SELECT * FROM nowhere"))
    counted = values(sample for family in application.state.metrics.registry.collect() for sample in family.samples)
    assert counted["database_errors_total", "OperationalError"] == 1


def test_public_port_has_no_metrics(central: Central) -> None:
    with serving(central):
        assert httpx.get(f"{central.url}/metrics", trust_env=False).status_code == 404


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("c2lst_of_a_test", "Made for a test.", registry=registry).inc(3)
    return registry


def test_metrics_have_a_listener_of_their_own(registry: CollectorRegistry) -> None:
    port = free_port()
    with serving_metrics(MetricsPlace(port), registry):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics?name[]=x", trust_env=False)
        assert [httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code for path in ("/", "/x")] == [404, 404]
        assert httpx.post(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 404
    assert {family.name for family in text_string_to_metric_families(answer.text)} >= {"c2lst_of_a_test"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


def test_without_a_place_nothing_listens(registry: CollectorRegistry) -> None:
    with serving_metrics(None, registry):
        pass


@pytest.mark.parametrize("shown", [None, "Bearer wrong", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"])
def test_token_is_asked_for(registry: CollectorRegistry, tmp_path: Path, shown: str | None) -> None:
    port, file = free_port(), tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    headers = {} if shown is None else {"Authorization": shown.encode("latin-1")}
    with serving_metrics(MetricsPlace(port, "0.0.0.0", file), registry), httpx.Client(trust_env=False) as http:
        place = f"http://127.0.0.1:{port}/metrics"
        refused = http.get(place, headers=headers)  # type: ignore[arg-type]
        allowed = http.get(place, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (refused.status_code, "c2lst" in refused.text) == (401, False)
    assert (allowed.status_code, "c2lst_of_a_test_total 3.0" in allowed.text) == (200, True)


def test_metrics_for_others_need_a_token(registry: CollectorRegistry, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("abc")
    for place, why in (
        (MetricsPlace(free_port(), "0.0.0.0"), "Others could read the metrics on 0.0.0.0"),
        (MetricsPlace(free_port(), "::"), "Others could read the metrics on ::"),
        (MetricsPlace(free_port(), token_file=tmp_path / "none"), "cannot be read"),
        (MetricsPlace(free_port(), token_file=short), "shorter than 16 characters"),
    ):
        with pytest.raises(BadInput, match=why), serving_metrics(place, registry):
            pytest.fail("metrics were served")


def test_port_that_is_taken_is_named(registry: CollectorRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = MetricsPlace(taken.getsockname()[1])
        with pytest.raises(BadInput, match="pass another --metrics-port"), serving_metrics(place, registry):
            pytest.fail("two listen at one port")
