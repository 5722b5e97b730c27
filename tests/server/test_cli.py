"""What the central operator types, sees, and can use in a script."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.central import PASSPHRASE, Central

from c2lst_server.cli import main


@pytest.fixture
def at_home(central: Central, monkeypatch: pytest.MonkeyPatch) -> Central:
    monkeypatch.setenv("C2LST_SERVER_HOME", str(central.home.path))
    monkeypatch.setenv("C2LST_SERVER_PASSPHRASE", PASSPHRASE)
    return central


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command as the shell would, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["c2lst-server", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_help_does_not_load_torch() -> None:
    code = """
import sys
sys.argv = ["c2lst-server", "--help"]
from c2lst_server.cli import main
try:
    main()
finally:
    print(sorted({"torch", "fastapi", "sqlalchemy", "tuf", "diffusers"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("[]\n")
    assert "publish" in ended.stdout


def test_init_makes_a_home_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, secret = str(tmp_path / "home"), tmp_path / "passphrase"
    arguments = ("init", "--home", home, "--passphrase-file", str(secret), "--make-passphrase-file")
    assert run(monkeypatch, *arguments) == 0
    first = capsys.readouterr().out
    assert run(monkeypatch, *arguments) == 0
    second = capsys.readouterr().out
    assert "Made the keys, the signed repository and the database" in first
    assert "is initialised already; nothing was changed." in second
    assert first.splitlines()[-1] == second.splitlines()[-1]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    secret.unlink()
    assert run(monkeypatch, *arguments) == 0
    assert not secret.exists(), "a new passphrase would open no key"


def test_init_without_passphrase_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "init", "--home", str(tmp_path / "home")) == 2
    assert capsys.readouterr().err.startswith("Error: The keys are encrypted: pass --passphrase-file")
    assert not (tmp_path / "home").exists()


def test_publish_prints_the_release(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_home.add_run("second")
    assert run(monkeypatch, "publish", "second", "--organ", "mob", "--dry-run") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["organ"], shown["number"]) == ("mob", 2)
    assert run(monkeypatch, "publish", "second", "--organ", "mob", "--summary", "Better.") == 0
    assert capsys.readouterr().out == f"Published mob/2: 0.6 kB, SHA-256 {shown['weights_sha256']}.\n"
    assert run(monkeypatch, "releases", "list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["RELEASE", "mob/1", "mob/2"]


def test_sites_are_added_listed_suspended_and_removed(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site.json"
    assert run(monkeypatch, "sites", "add", "hospital-a", "--url", "http://127.0.0.1:8000/", "--out", str(out)) == 0
    said = capsys.readouterr().out
    token = json.loads(out.read_text())["token"]
    assert json.loads(out.read_text())["root_sha256"] in said
    assert token not in said
    for command in ("suspend", "resume"):
        assert run(monkeypatch, "sites", command, "hospital-a") == 0
    capsys.readouterr()
    assert run(monkeypatch, "sites", "list", "--json") == 0
    assert [(site["name"], site["state"]) for site in json.loads(capsys.readouterr().out)] == [("hospital-a", "invited")]
    assert run(monkeypatch, "sites", "remove", "hospital-a") == 0
    capsys.readouterr()
    assert run(monkeypatch, "sites", "list") == 0
    assert capsys.readouterr().out == "No site yet.\n"


def test_status_shows_every_expiry(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "renew") == 0
    assert capsys.readouterr().out == "Signed again: targets, mob, snapshot, timestamp.\n"
    assert run(monkeypatch, "status") == 0
    said = capsys.readouterr().out
    assert run(monkeypatch, "status", "--json") == 0
    state = json.loads(capsys.readouterr().out)
    assert list(state["expires"]) == ["root", "targets", "mob", "snapshot", "timestamp"]
    assert state["releases"] == ["mob/1"]
    assert state["root_sha256"] in said
    assert all(f"{role} expires" in said for role in state["expires"])


def test_serve_refuses_to_be_overheard(
    at_home: Central, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "serve", "--host", "0.0.0.0") == 2
    assert capsys.readouterr().err.startswith("Error: Others could read plain HTTP on 0.0.0.0")


@pytest.mark.parametrize("command", ["status", "releases list", "sites list", "serve", "renew"])
def test_home_that_is_not_initialised_is_named(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command.split(), "--home", str(tmp_path)) == 2
    assert "is not initialised; run `c2lst-server init` first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
