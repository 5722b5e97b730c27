"""Traces go to the collector that the operator names; they hold ids and route templates, and nothing that anybody sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fakes.central import Central, serving
from fakes.federation import ROOT, free_port
from fakes.round_transport import Wire
from fakes.served_process import invited_sites, served_process
from fakes.trace_collector import TraceCollector, attributes, collecting
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from c2lst_server.app import create_app
from c2lst_server.db.models import ACTIVE, Site
from c2lst_server.rounds import store
from c2lst_server.rounds.courier import Pace
from c2lst_server.rounds.drive import drive
from c2lst_server.rounds.store import RoundPlan
from c2lst_server.tracing import ENDPOINT, open_tracing
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import RoundResult, parse_request

SENT = {  # all that a span may say
    "c2lst.request_id",
    "c2lst.round_id",
    "db.operation.name",
    "db.system.name",
    "http.request.method",
    "http.response.status_code",
    "http.route",
}
ABOUT_THE_SENDER = {
    "service.name",
    "service.version",
    "service.instance.id",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
}
SERVER, CLIENT, FAILED = 2, 3, 2  # SPAN_KIND_SERVER, SPAN_KIND_CLIENT, STATUS_CODE_ERROR
QUICK = Pace(between=0, running=0, resting=0, silent=0)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[TraceCollector]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    with collecting() as collector:
        monkeypatch.setenv(ENDPOINT, collector.url)
        yield collector


def check_only_what_is_declared(collector: TraceCollector, *secrets: str) -> None:
    for span in collector.spans:
        assert set(attributes(span)) <= SENT
        assert (list(span.events), list(span.links), span.status.message) == ([], [], "")
    assert {name for resource in collector.resources for name in resource} <= ABOUT_THE_SENDER
    sent = b"".join(collector.bodies)
    for secret in secrets:
        assert secret.encode() not in sent


def test_each_request_is_a_span_with_its_id_and_its_statements_below_it(
    central: Central, tmp_path: Path, collector: TraceCollector
) -> None:
    (site,) = invited_sites(central.home, tmp_path, 1, central.url)
    with (
        open_tracing("c2lst-server") as tracing,
        serving(central, application=create_app(central.settings, tracing)),
        httpx.Client(base_url=central.url, trust_env=False, headers={"User-Agent": "telltale-agent"}) as http,
    ):
        assert site.enrol(http).status_code == 200
        token = site.ask_token(http).json()["access_token"]
        answer = http.get("/api/v1/sites/me?barcode=AAACCTGAGAAACCAT", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["site"] == site.name
        http.get("/patient-17/slide.svs")
        strangers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"}
        http.get("/api/v1/releases/mob/7", headers=strangers)
    (span,) = collector.named("GET /api/v1/sites/me")
    assert attributes(span) == {
        "c2lst.request_id": answer.headers["x-request-id"],
        "http.request.method": "GET",
        "http.route": "/api/v1/sites/me",
        "http.response.status_code": 200,
    }
    assert (span.kind, span.parent_span_id, span.start_time_unix_nano < span.end_time_unix_nano) == (SERVER, b"", True)
    statements = [found for found in collector.spans if found.parent_span_id == span.span_id]
    assert {found.name for found in statements} == {"SELECT"}
    assert {found.kind for found in statements} == {CLIENT}
    assert {found.trace_id for found in statements} == {span.trace_id}
    assert {attributes(found)["c2lst.request_id"] for found in statements} == {answer.headers["x-request-id"]}
    assert [attributes(found)["http.response.status_code"] for found in collector.named("GET other")] == [404]
    (other,) = collector.named("GET /api/v1/releases/{organ}/{number}")
    assert other.trace_id != bytes.fromhex("ab" * 16)  # a stranger neither chooses ids nor switches traces off
    assert {resource["service.name"] for resource in collector.resources} == {"c2lst-server"}
    enrolment = site.file.token.get_secret_value()
    check_only_what_is_declared(
        collector,
        *(site.name, token, enrolment, "AAACCTGAGAAACCAT", "barcode", "patient", "telltale", "127.0.0.1"),
        *("/mob", str(central.home.path), "FROM ", "Bearer"),
    )


def test_errors_are_marked_and_their_words_stay_here(central: Central, collector: TraceCollector) -> None:
    with open_tracing("c2lst-server") as tracing:
        application = create_app(central.settings, tracing)

        @application.get("/breaks")
        def breaks() -> None:
            raise ValueError("patient-17 in /data/slides")

        with serving(central, application=application), httpx.Client(base_url=central.url, trust_env=False) as http:
            assert http.get("/breaks").status_code == 500
        tracing.watch(central.engine)
        with (
            tracing.span("look"),
            central.engine.connect() as connection,
            pytest.raises(OperationalError),
        ):
            connection.execute(text("SELECT patient_17 FROM nowhere"))
    (span,), (statement,), (look,) = (collector.named(name) for name in ("GET /breaks", "SELECT", "look"))
    assert (span.status.code, statement.status.code, look.status.code) == (FAILED, FAILED, 0)
    check_only_what_is_declared(collector, "patient", "/data", "nowhere", "ValueError")


def test_round_carries_its_id_and_no_site(central: Central, collector: TraceCollector) -> None:
    with central.session() as session:
        session.add(Site(name="hospital-a", state=ACTIVE, added=datetime.now(UTC)))
        session.commit()
        round_id = store.start(session, central.home, RoundPlan(organ="mob", sites=("hospital-a",))).round_id
    wire = Wire({"hospital-a": lambda body: RoundResult(round_id=parse_request(body).round_id, seconds=7).body()})
    drive(central.settings, round_id, wire, lambda: False, pace=QUICK, sleep=lambda _: None)
    (asked,) = collector.named("ask sites")
    assert attributes(asked) == {"c2lst.round_id": round_id}
    below = [span for span in collector.spans if span.parent_span_id == asked.span_id]
    assert {attributes(span)["c2lst.round_id"] for span in below} == {round_id}
    assert "UPDATE" in {span.name for span in below}
    check_only_what_is_declared(collector, "hospital")


@pytest.mark.slow
def test_guarded_process_of_a_round_reaches_the_collector(collector: TraceCollector) -> None:
    """Traces need no name look-up, program or connection that the guard of that process refuses."""
    code = """if True:
        from c2lst_server.tracing import collector, open_tracing
        from c2lst_shared.flower.guard import allow_only
        allow_only([collector()])
        with open_tracing("c2lst-rounds") as tracing, tracing.span("ask sites"):
            pass
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("shared", "server"))}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
    assert [span.name for span in collector.spans] == ["ask sites"]


def test_nothing_is_traced_unless_a_collector_is_named(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", " "):
        monkeypatch.delenv(ENDPOINT, raising=False)
        if value is not None:
            monkeypatch.setenv(ENDPOINT, value)
        with open_tracing("c2lst-server") as tracing, tracing.span("request") as span:
            assert (tracing.is_on, span) == (False, None)


@pytest.mark.parametrize("value", ["collector:4318", "grpc://collector:4317", "http://"])
def test_what_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(ENDPOINT, value)
    with pytest.raises(BadInput, match="is no URL"), open_tracing("c2lst-server"):
        pytest.fail("it was opened")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["serve", "superlink"])
def test_collector_without_the_extra_is_one_sentence(central: Central, tmp_path: Path, command: str) -> None:
    missing = tmp_path / "without" / "opentelemetry"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ModuleNotFoundError('not installed')")
    path = os.pathsep.join([str(missing.parent), *(str(ROOT / part) for part in ("shared", "server"))])
    environment = os.environ | {"PYTHONPATH": path, ENDPOINT: "http://127.0.0.1:9"}
    words = [sys.executable, "-m", "c2lst_server", command, "--home", str(central.home.path), "--port", str(free_port())]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    said = "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, and OpenTelemetry is not installed; install c2lst[server,otel]"
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: {said}")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_service_sends_its_last_spans_when_it_is_stopped(central: Central, tmp_path: Path, collector: TraceCollector) -> None:
    with served_process(central.home, tmp_path / "log") as served:
        identifier = served.get("/api/v1/releases").headers["x-request-id"]
    (span,) = collector.named("GET /api/v1/releases")
    assert attributes(span)["c2lst.request_id"] == identifier


@pytest.mark.slow
def test_collector_that_is_away_disturbs_nobody(central: Central, tmp_path: Path, collector: TraceCollector) -> None:
    away = {ENDPOINT: f"http://127.0.0.1:{free_port()}", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with served_process(central.home, tmp_path / "log", **away) as served:
        assert {served.get("/api/v1/releases").status_code for _ in range(20)} == {200}
    assert served.process is not None
    assert served.process.returncode == 0


def test_sites_know_nothing_of_traces() -> None:
    for part in ("client", "shared"):
        for file in (ROOT / part).rglob("*.py"):
            assert "opentelemetry" not in file.read_text().lower(), file
