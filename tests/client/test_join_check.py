"""`join --check` is green when the centre sees the site's node, and red with one sentence when it does not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.central import Central, serving
from fakes.superlink_view import superlink_seeing
from typer.testing import CliRunner

from c2lst_client.audit import read_entries
from c2lst_client.cli import app
from c2lst_client.doctor import examine
from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_client.trust.enrol import enrol
from c2lst_shared.flower.heartbeat import Heartbeat, Processes
from c2lst_shared.flower.supervisor import Event

LAST_SEEN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def central(tmp_path: Path) -> Iterator[Central]:
    central = Central(tmp_path / "central")
    central.publish("first")
    yield central
    central.engine.dispose()


@pytest.fixture
def home(central: Central, tmp_path: Path) -> Iterator[Home]:
    """An enrolled site, whose centre is there."""
    home = Home(tmp_path / "site")
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
        yield home


@contextmanager
def joined(home: Home) -> Iterator[Heartbeat]:
    """What `join` keeps up while it runs; every child is this process."""
    names = ("node", "app", "worker")
    with Heartbeat(home.join_processes, names) as heartbeat:
        for name in names:
            heartbeat.hear(Event(name=name, state="running", pid=os.getpid()))
        yield heartbeat


def check(home: Home, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["join", "--check", "--home", str(home.path), *words])
    return done.exit_code, done.output.strip()


def link_finding(home: Home, *, offline: bool = False) -> tuple[str, str]:
    (finding,) = [each for each in examine(Settings(home=home.path), offline=offline) if each.subject == "link"]
    return finding.state, finding.found


def test_site_that_the_centre_sees_is_well(central: Central, home: Home) -> None:
    with joined(home), superlink_seeing(central, online={"hospital-a"}):
        before = len(read_entries(home.audit_log))
        code, said = check(home, "--grace", "0")
        assert (code, said.endswith("and the centre sees this site online.")) == (0, True)
        asked = [(entry.path, entry.message, entry.status) for entry in read_entries(home.audit_log)[before:]]
        assert asked == [("/api/v1/token", "TokenRequest", 200), ("/api/v1/sites/me/link", None, 200)]
        assert link_finding(home)[0] == "ok"
        found = json.loads(check(home, "--json")[1])
        assert (found["state"], found["link"]["site"], found["link"]["state"]) == ("well", "hospital-a", "online")
        assert [child["name"] for child in found["processes"]["children"]] == ["node", "app", "worker"]
        assert (
            CliRunner()
            .invoke(app, ["status", "--home", str(home.path)])
            .output.splitlines()[-1]
            .startswith("Join      runs since ")
        )


def test_site_that_lost_its_link_is_unwell_though_its_processes_live(central: Central, home: Home) -> None:
    with joined(home), superlink_seeing(central, offline={"hospital-a": LAST_SEEN}):
        code, said = check(home, "--grace", "0")
        assert code == 1
        assert said.startswith("The centre has not heard of this site's node since 2026-01-01 12:00:00 UTC; see ")
        assert len(said.splitlines()) == 1
        code, said = check(home)
        assert (code, "is given 120 s to be linked" in said) == (0, True)
        assert link_finding(home)[0] == "warning"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param({"online": set()}, "The centre has never seen this site's node", id="never linked"),
        pytest.param({"away": True}, "The centre's own SuperLink does not answer", id="SuperLink is away"),
    ],
)
def test_each_other_answer_of_the_centre_is_a_sentence(central: Central, home: Home, seen: dict, words: str) -> None:
    with joined(home), superlink_seeing(central, **seen):
        code, said = check(home, "--grace", "0")
    assert (code, said.startswith(words)) == (1, True)


def test_centre_without_a_superlink_says_so_and_makes_no_secret(central: Central, home: Home) -> None:
    with joined(home):
        code, said = check(home, "--grace", "0")
    assert (code, said.startswith("The centre's own SuperLink does not answer")) == (1, True)
    assert not central.home.superlink.exists()


def test_missing_child_is_named_without_asking_anybody(central: Central, home: Home) -> None:
    with joined(home) as heartbeat:
        heartbeat.hear(Event(name="app", state="ended", pid=os.getpid(), code=1, again_in=1))
        before = home.audit_log.read_bytes()
        code, said = check(home)
        assert (code, said) == (1, f"`c2lst-client join` runs, but its app does not; see {home.federation / 'app.log'}.")
        assert home.audit_log.read_bytes() == before
        assert link_finding(home, offline=True)[0] == "fault"


def test_site_that_did_not_join_is_told_so(home: Home) -> None:
    assert check(home) == (1, "`c2lst-client join` does not run here; start it.")
    assert link_finding(home) == ("ok", "`c2lst-client join` does not run: no part is taken in rounds")
    state = json.loads(CliRunner().invoke(app, ["status", "--home", str(home.path), "--json"]).output)
    assert (state["joined_since"], state["join"]) == (None, "`c2lst-client join` does not run here; start it.")


def test_centre_that_is_away_is_a_sentence(central: Central, tmp_path: Path) -> None:
    home = Home(tmp_path / "site")
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))
    with joined(home):
        code, said = check(home, "--grace", "0")
    assert (code, said.startswith("Whether the centre sees this site's node is not known: http://127.0.0.1:")) == (1, True)


def test_suspended_site_learns_nothing(central: Central, home: Home) -> None:
    from c2lst_server.sites.registry import suspend

    with central.session() as session:
        suspend(session, "hospital-a")
    with joined(home), superlink_seeing(central, online={"hospital-a"}):
        code, said = check(home, "--grace", "0")
    assert code == 1
    assert "does not take hospital-a for an active site" in said


def test_grace_ends(central: Central, home: Home) -> None:
    with joined(home), superlink_seeing(central, online=set()):
        assert check(home)[0] == 0
        path = home.join_processes
        found = Processes.model_validate_json(path.read_text())
        path.write_text(found.model_copy(update={"began": found.began - timedelta(seconds=121)}).model_dump_json())
        assert check(home)[0] == 1
