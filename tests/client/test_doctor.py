"""Doctor finds what is wrong, says what to do, changes nothing, and asks the server four things."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.central import Central, serving
from fakes.tls import new_authority, server_files
from typer.testing import CliRunner

from c2lst_client.cli import app
from c2lst_client.doctor import Finding, examine
from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import pull
from c2lst_client.trust.seen import Seen
from c2lst_shared import atomic

PROXY_OF_NOBODY = "http://proxy.invalid:3128"


@pytest.fixture
def central(tmp_path: Path) -> Central:
    central = Central(tmp_path / "central")
    central.publish("first")
    return central


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "site")


def found(home: Home, *, proxy: str | None = None, offline: bool = False) -> dict[str, Finding]:
    findings = examine(Settings(home=home.path, proxy=proxy), offline=offline)
    return {finding.subject: finding for finding in findings}


def test_healthy_site_has_no_fault_and_sends_four_requests(central: Central, home: Home, tmp_path: Path) -> None:
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        pull(home, "mob")
        asked = len(home.audit_log.read_text().splitlines())
        findings = found(home)
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert findings["release mob/1"].found == "every file is the one that was signed"
    paths = [json.loads(line)["path"] for line in home.audit_log.read_text().splitlines()]
    assert paths[asked:] == ["/healthz", "/readyz", "/api/v1/token", "/api/v1/sites/me"]


def test_server_that_is_not_ready_is_a_warning(central: Central, home: Home, tmp_path: Path) -> None:
    central.settings = central.settings.model_copy(update={"least_free": 1 << 60})
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        finding = found(home)["server"]
    assert (finding.state, "not ready" in finding.found, "central operator" in finding.to_do) == ("warning", True, True)


def test_site_that_is_not_enrolled_is_told_so(home: Home) -> None:
    findings = found(home)
    assert "is not enrolled; run `c2lst-client enroll FILE`" in findings["enrolment"].found
    assert not home.path.exists()


def test_faults_are_named_each_with_what_to_do(central: Central, home: Home, tmp_path: Path) -> None:
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        pull(home, "mob")
    (home.release("mob", 1) / "weights.safetensors").write_bytes(b"x")
    lines = home.audit_log.read_text().splitlines(keepends=True)
    home.audit_log.write_text("".join(lines[1:]))
    atomic.write_text(home.seen, Seen(clock=datetime.now(UTC) + timedelta(days=2)).model_dump_json())
    findings = found(home)
    faults = {subject for subject, finding in findings.items() if finding.state == "fault"}
    assert faults == {"release mob/1", "audit log", "clock", "server"}
    assert "set it right" in findings["clock"].found
    assert "cannot be reached" in findings["server"].found


def test_proxy_that_does_not_exist_is_named(central: Central, home: Home, tmp_path: Path) -> None:
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
    finding = found(home, proxy=PROXY_OF_NOBODY)["name"]
    assert (finding.state, "C2LST_PROXY" in finding.to_do) == ("fault", True)


def test_offline_asks_nothing(central: Central, home: Home, tmp_path: Path) -> None:
    enrol(home, central.invite(tmp_path / "file"), offline=True)
    assert not {"name", "server"} & set(found(home, offline=True))
    assert not home.audit_log.exists()


def test_role_that_runs_out_soon_is_a_warning(central: Central, home: Home, tmp_path: Path) -> None:
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        pull(home, "mob")
    path = home.metadata / "targets.json"
    soon = (datetime.now(UTC) + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = json.loads(path.read_text())
    content["signed"]["expires"] = soon
    path.write_text(json.dumps(content))
    finding = found(home, offline=True)["signed metadata"]
    assert (finding.state, "sign targets again soon" in finding.to_do) == ("warning", True)


@pytest.mark.parametrize(("days", "state"), [(13.5, "warning"), (60.5, "ok")])
def test_end_of_the_servers_certificate_is_told(central: Central, home: Home, tmp_path: Path, days: float, state: str) -> None:
    authority = new_authority()
    with serving(central, tls=server_files(authority, tmp_path, timedelta(days=days))):
        enrol(home, central.invite(tmp_path / "file", ca_pem=authority.pem))
        findings = found(home)
    finding = findings["certificate"]
    assert finding.state == state
    assert finding.found.startswith("the server's ends on ")
    assert finding.found.endswith(f" UTC, {int(days)} days from now")
    assert ("renew it" in finding.to_do) == (state == "warning")


def test_server_without_tls_has_no_certificate_to_look_at(central: Central, home: Home, tmp_path: Path) -> None:
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        assert "certificate" not in found(home)


def test_metadata_that_cannot_be_read_is_a_fault(central: Central, home: Home, tmp_path: Path) -> None:
    enrol(home, central.invite(tmp_path / "file"), offline=True)
    (home.metadata / "targets.json").write_text("<html>")
    finding = found(home, offline=True)["signed metadata"]
    assert (finding.state, "cannot be read" in finding.found) == ("fault", True)


def test_command_exits_with_1_on_a_fault_and_speaks_json(home: Home) -> None:
    answer = CliRunner().invoke(app, ["doctor", "--home", str(home.path), "--json"])
    assert answer.exit_code == 1
    assert {"subject", "state", "found", "to_do"} == set(json.loads(answer.output)[0])
