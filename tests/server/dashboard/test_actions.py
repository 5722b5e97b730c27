"""Every change is recorded with who made it, whichever way they came, in the transaction that makes it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from fakes.central import PASSPHRASE, Central, serving
from fakes.served_process import AskingSite
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from c2lst_server import administrators
from c2lst_server.actions import Action, Via, act_as, list_actions, note
from c2lst_server.administrators import Scope
from c2lst_server.cli import app
from c2lst_server.sites import registry
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import EnrolmentFile

pytestmark = pytest.mark.both_databases


def said(session: Session, limit: int = 20) -> list[tuple[str, str, str, str]]:
    return [(each.who, each.via, each.action, each.subject) for each in list_actions(session, limit=limit)]


def test_interface_says_who(central: Central, tmp_path: Path) -> None:
    central.invite(tmp_path / "file")
    with central.session() as session:
        token = administrators.add(session, "ada", list(Scope), days=1)
    with serving(central), httpx.Client(base_url=f"{central.url}/api/v1/admin", trust_env=False) as http:
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.post("/sites/hospital-a/suspend").status_code == 200
        assert http.post("/sites/hospital-z/suspend").status_code == 404
        assert http.delete("/sites/hospital-a").status_code == 204
    with central.session() as session:
        assert said(session, 2) == [
            ("ada", "interface", "removed site", "hospital-a"),
            ("ada", "interface", "suspended site", "hospital-a"),
        ]


def test_site_says_who_and_when_it_was_seen(central: Central, tmp_path: Path) -> None:
    file = EnrolmentFile.model_validate_json(central.invite(tmp_path / "file").read_bytes())
    site = AskingSite("hospital-a", file)
    with serving(central), httpx.Client(base_url=central.url, trust_env=False) as http:
        assert site.enrol(http).status_code == 200
        http.headers["User-Agent"] = "c2lst/0.1.0"
        site.file = file.model_copy(update={"server": file.server})
        assert site.ask_token(http).status_code == 200
    with central.session() as session:
        assert said(session, 1) == [("hospital-a", "site", "enrolled", "hospital-a")]
        seen = registry.show(session, "hospital-a")
        assert (seen.software, seen.last_seen is not None) == ("0.1.0", True)


@pytest.mark.parametrize("agent", ["curl/8", "c2lst/<script>", "c2lst/" + "9" * 60, ""])
def test_only_a_version_is_kept_of_what_a_site_says_it_is(central: Central, tmp_path: Path, agent: str) -> None:
    site = AskingSite("hospital-a", EnrolmentFile.model_validate_json(central.invite(tmp_path / "file").read_bytes()))
    with serving(central), httpx.Client(base_url=central.url, trust_env=False, headers={"User-Agent": agent}) as http:
        assert site.enrol(http).status_code == 200
        assert site.ask_token(http).status_code == 200
    with central.session() as session:
        assert registry.show(session, "hospital-a").software is None


def test_commands_say_who(central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "operator")
    monkeypatch.setenv("C2LST_SERVER_PASSPHRASE", PASSPHRASE)
    run, home = CliRunner(env={"C2LST_SERVER_DATABASE_URL": central.settings.database}), ["--home", str(central.home.path)]
    for words in (
        ["sites", "add", "hospital-b", "--url", "https://central.example.org", "--out", str(tmp_path / "b.json")],
        ["sites", "suspend", "hospital-b"],
        ["admins", "add", "ada", "--scope", "read"],
        ["renew"],
        ["withdraw", "mob/1", "--reason", "a mistake"],
    ):
        done = run.invoke(app, [*words, *home])
        assert done.exit_code == 0, done.output
    with central.session() as session:
        assert said(session, 5) == [
            ("operator", "command line", "withdrew release", "mob/1"),
            ("operator", "command line", "signed again", "targets"),
            ("operator", "command line", "added administrator", "ada"),
            ("operator", "command line", "suspended site", "hospital-b"),
            ("operator", "command line", "invited site", "hospital-b"),
        ]
        assert list_actions(session, limit=1)[0].detail == "a mistake"


def test_what_did_not_happen_is_not_recorded(central: Central, tmp_path: Path) -> None:
    with central.session() as session:
        before = said(session)
        with pytest.raises(BadInput):
            registry.suspend(session, "hospital-z")
        nowhere = Path("/proc/nowhere/file.json")  # no file can be made there
        with pytest.raises(OSError, match="No such file"):
            registry.invite(session, central.home, "hospital-q", registry.Address("https://c"), out=nowhere)
        session.rollback()
        assert said(session) == before


def test_records_come_in_pages_and_by_subject(central: Central) -> None:
    with central.session() as session:
        act_as(session, "ada", Via.DASHBOARD)
        for number in range(5):
            note(session, Action.SUSPENDED_SITE, f"site-{number % 2}", "x" * 600)
        session.commit()
        first = list_actions(session, limit=2)
        second = list_actions(session, limit=2, before=first[-1].id)
        assert [each.subject for each in first + second] == ["site-0", "site-1", "site-0", "site-1"]
        assert {each.subject for each in list_actions(session, limit=9, subject="site-1")} == {"site-1"}
        assert len(first[0].detail or "") == 500


def test_groups_stand_for_scopes() -> None:
    assert administrators.scopes_of(["all"]) == list(Scope)
    assert [scope.endswith(":read") for scope in administrators.scopes_of(["read"])] == [True] * 4
    assert administrators.scopes_of(["read", "sites:write"])[:2] == [Scope.READ_SITES, Scope.WRITE_SITES]


def test_command_lists_what_was_done(central: Central) -> None:
    run = CliRunner(env={"C2LST_SERVER_DATABASE_URL": central.settings.database_url})
    with central.session() as session:
        act_as(session, "ada", Via.DASHBOARD)
        note(session, Action.SUSPENDED_SITE, "site-1", "by mistake")
        note(session, Action.RESUMED_SITE, "site-2")
        session.commit()
    home = ["--home", str(central.settings.home)]
    shown = run.invoke(app, ["audit", *home, "--limit", "2"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1].split()[3:] == ["ada", "dashboard", "resumed", "site", "site-2"]
    (found,) = json.loads(run.invoke(app, ["audit", *home, "--subject", "site-1", "--json"]).stdout)
    assert (found["who"], found["action"], found["detail"]) == ("ada", "suspended site", "by mistake")
