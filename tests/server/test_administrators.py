"""Administrators have named tokens with scopes and an end, and there is none before one is made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes.central import Central, serving
from typer.testing import CliRunner

from c2lst_server.administrators import Scope, add, authenticate, list_administrators, remove
from c2lst_server.cli import app
from c2lst_server.errors import Refused, Unauthorised
from c2lst_shared.errors import BadInput

pytestmark = pytest.mark.both_databases

BOTH = (Scope.READ_SITES, Scope.WRITE_SITES)


def added(central: Central, name: str = "ada", scopes: tuple[Scope, ...] = BOTH, days: int = 90) -> str:
    with central.session() as session:
        return add(session, name, scopes, days=days)


@pytest.fixture
def http(central: Central, tmp_path: Path) -> Iterator[httpx.Client]:
    central.invite(tmp_path / "file", name="hospital-a")
    central.invite(tmp_path / "file", name="hospital-b")
    with serving(central), httpx.Client(base_url=f"{central.url}/api/v1/admin", trust_env=False) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_there_is_no_administrator_to_begin_with(central: Central, http: httpx.Client) -> None:
    with central.session() as session:
        assert list_administrators(session) == []
    assert http.get("/sites").status_code == 401
    for guess in ("admin", "password", "changeme"):
        assert http.get("/sites", headers=bearer(guess)).status_code == 401


def test_database_keeps_only_the_digest(central: Central) -> None:
    token = added(central)
    assert token.encode() not in central.stored()


def test_token_opens_what_its_scope_allows_and_nothing_else(central: Central, http: httpx.Client) -> None:
    reader, writer = added(central, "reader", (Scope.READ_SITES,)), added(central, "writer", (Scope.WRITE_SITES,))
    assert [site["name"] for site in http.get("/sites", headers=bearer(reader)).json()] == ["hospital-a", "hospital-b"]
    refused = http.post("/sites/hospital-a/suspend", headers=bearer(reader))
    assert (refused.status_code, refused.json()["detail"].partition(";")[0]) == (
        403,
        "The token of reader does not allow sites:write",
    )
    assert http.get("/sites", headers=bearer(writer)).status_code == 403
    assert http.post("/sites/hospital-a/suspend", headers=bearer(writer)).json()["state"] == "suspended"
    assert http.post("/sites/hospital-a/resume", headers=bearer(writer)).json()["state"] == "invited"
    assert http.delete("/sites/hospital-b", headers=bearer(writer)).status_code == 204
    assert [site["name"] for site in http.get("/sites", headers=bearer(reader)).json()] == ["hospital-a"]


def test_site_that_is_not_there_is_named(central: Central, http: httpx.Client) -> None:
    answer = http.post("/sites/hospital-z/suspend", headers=bearer(added(central)))
    assert (answer.status_code, "There is no site 'hospital-z'" in answer.json()["detail"]) == (404, True)


def test_sites_come_in_pages(central: Central, http: httpx.Client) -> None:
    token = bearer(added(central))
    first = http.get("/sites", params={"limit": 1}, headers=token).json()
    second = http.get("/sites", params={"limit": 1, "after": first[0]["name"]}, headers=token).json()
    assert [site["name"] for site in first + second] == ["hospital-a", "hospital-b"]
    assert http.get("/sites", params={"limit": 201}, headers=token).status_code == 422


def test_token_runs_out_and_can_be_replaced_or_removed(central: Central) -> None:
    token = added(central, days=1)
    with central.session() as session:
        with pytest.raises(Unauthorised, match="has run out"):
            authenticate(session, token, Scope.READ_SITES, datetime.now(UTC) + timedelta(days=1))
        assert authenticate(session, token, Scope.READ_SITES).name == "ada"
        newer = add(session, "ada", (Scope.READ_SITES,), days=1)
        with pytest.raises(Unauthorised):
            authenticate(session, token, Scope.READ_SITES)
        with pytest.raises(Refused):
            authenticate(session, newer, Scope.WRITE_SITES)
        remove(session, "ada")
        with pytest.raises(Unauthorised):
            authenticate(session, newer, Scope.READ_SITES)


@pytest.mark.parametrize(
    ("name", "scopes", "days", "message"),
    [
        ("Ada Lovelace", BOTH, 90, "cannot name an administrator"),
        ("ada", (), 90, "give one of sites:read, sites:write"),
        ("ada", BOTH, 0, "lives for 1 to 365 days, not 0"),
        ("ada", BOTH, 366, "lives for 1 to 365 days, not 366"),
    ],
)
def test_what_makes_no_sense_is_refused(
    central: Central, name: str, scopes: tuple[Scope, ...], days: int, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        added(central, name, scopes, days)


def test_command_prints_the_token_once_and_alone(central: Central) -> None:
    run = CliRunner(env={"C2LST_SERVER_DATABASE_URL": central.settings.database_url})
    home = ["--home", str(central.home.path)]
    made = run.invoke(app, ["admins", "add", "ada", "--scope", "sites:read", *home])
    assert made.exit_code == 0, made.output
    with central.session() as session:
        assert authenticate(session, made.stdout.strip(), Scope.READ_SITES).name == "ada"
    listed = run.invoke(app, ["admins", "list", *home])
    assert "sites:read" in listed.stdout
    assert made.stdout.strip() not in listed.stdout
    assert run.invoke(app, ["admins", "remove", "ada", *home]).exit_code == 0
    assert "No administrator yet." in run.invoke(app, ["admins", "list", *home]).stdout
