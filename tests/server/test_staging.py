"""What was staged becomes visible when enough keys have signed it, and only then; the offline keys never come to the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.central import PASSPHRASE, Central
from typer.testing import CliRunner

from c2lst_server.cli import app
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.publishing.keys import Keyring, make_keys
from c2lst_server.publishing.publish import publish
from c2lst_server.publishing.staging import (
    add_signature,
    publish_staged,
    read_staged,
    stage_publication,
    stage_renewal,
    stage_withdrawing,
)
from c2lst_shared.errors import BadInput


@pytest.fixture
def offline(central: Central, tmp_path: Path) -> Path:
    """The targets keys on two sticks; the server keeps the online ones."""
    sticks = tmp_path / "sticks"
    sticks.mkdir()
    for name in ("root-1.pem", "root-2.pem", "root-3.pem", "targets-1.pem", "targets-2.pem"):
        (central.home.keys / name).rename(sticks / name)
    return sticks


@pytest.fixture
def staged(central: Central, offline: Path, tmp_path: Path) -> Path:
    central.add_run("second")
    with central.session() as session:
        stage_publication(central.home, session, "second", organ="mob", summary="Staged.", out=tmp_path / "staged.json")
    return tmp_path / "staged.json"


def visible(central: Central) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in central.home.metadata.iterdir()}


def releases(central: Central) -> list[str]:
    return [release.name for release in read_catalogue(central.home).releases]


def sign(path: Path, *keys: Path) -> None:
    for key in keys:
        add_signature(path, key, lambda: PASSPHRASE)


def publish_from(central: Central, path: Path) -> None:
    with central.session() as session:
        publish_staged(central.home, session, path)


def test_two_signatures_from_two_machines_publish(central: Central, staged: Path, offline: Path) -> None:
    before = visible(central)
    assert [line.partition(",")[0] for line in read_staged(staged).contents()] == [
        "targets version 3",
        "mob version 2",
        "  mob/1",
        "  mob/2",
    ]
    assert read_staged(staged).signatures() == {"targets": 0, "mob": 0}
    sign(staged, offline / "targets-1.pem")
    assert read_staged(staged).signatures() == {"targets": 1, "mob": 1}
    assert visible(central) == before
    sign(staged, offline / "targets-2.pem")
    publish_from(central, staged)
    assert releases(central) == ["mob/1", "mob/2"]


@pytest.mark.parametrize("keys", [[], ["targets-1.pem"], ["targets-1.pem", "targets-1.pem"]], ids=["none", "one", "one twice"])
def test_missing_signatures_are_refused_and_nothing_changes(
    central: Central, staged: Path, offline: Path, keys: list[str]
) -> None:
    before = visible(central)
    sign(staged, *(offline / key for key in keys))
    with pytest.raises(BadInput, match=r"Signatures are missing \(targets was signed by [01]/2 keys\)"):
        publish_from(central, staged)
    assert visible(central) == before
    assert releases(central) == ["mob/1"]


def test_key_that_the_server_does_not_know_signs_nothing(staged: Path, tmp_path: Path, offline: Path) -> None:
    make_keys(tmp_path / "others", PASSPHRASE)
    before = staged.read_bytes()
    for key in (tmp_path / "others" / "targets-1.pem", offline / "root-1.pem"):
        with pytest.raises(BadInput, match="may sign nothing of this"):
            sign(staged, key)
    assert staged.read_bytes() == before


def test_signers_that_were_put_into_the_file_are_not_believed(central: Central, staged: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "others", PASSPHRASE)
    keys = [tmp_path / "others" / f"targets-{number}.pem" for number in (1, 2)]
    signers = [signer.public_key.keyid for signer in Keyring(tmp_path / "others", lambda: PASSPHRASE).signers("targets")]
    content = json.loads(staged.read_text())
    for role in content["signers"].values():
        role["keyids"] = signers
    staged.write_text(json.dumps(content))
    sign(staged, *keys)
    with pytest.raises(BadInput, match="Signatures are missing"):
        publish_from(central, staged)
    assert releases(central) == ["mob/1"]


def test_content_changed_after_signing_is_refused(central: Central, staged: Path, offline: Path) -> None:
    sign(staged, offline / "targets-1.pem", offline / "targets-2.pem")
    staged.write_text(staged.read_text().replace('"length": 616', '"length": 617'))
    with pytest.raises(BadInput, match="Signatures are missing"):
        publish_from(central, staged)


def test_what_was_overtaken_is_refused(central: Central, staged: Path, offline: Path) -> None:
    sign(staged, offline / "targets-1.pem", offline / "targets-2.pem")
    central.add_run("third")
    with central.session() as session:
        publish(central.home, session, Keyring(_all_keys(central, offline), lambda: PASSPHRASE), "third", organ="mob")
    with pytest.raises(BadInput, match="Something was published since this was staged"):
        publish_from(central, staged)
    assert releases(central) == ["mob/1", "mob/2"]


def _all_keys(central: Central, offline: Path) -> Path:
    for name in ("snapshot.pem", "timestamp.pem"):
        (offline / name).write_bytes((central.home.keys / name).read_bytes())
    return offline


def test_new_organ_is_staged_and_published(central: Central, offline: Path, tmp_path: Path) -> None:
    central.add_run("lung-run", organ="lung")
    path = tmp_path / "staged.json"
    with central.session() as session:
        stage_publication(central.home, session, "lung-run", organ="lung", summary="", out=path)
    sign(path, offline / "targets-1.pem", offline / "targets-2.pem")
    publish_from(central, path)
    assert releases(central) == ["lung/1", "mob/1"]


def test_withdrawal_and_renewal_are_staged_too(central: Central, offline: Path, tmp_path: Path) -> None:
    path = tmp_path / "staged.json"
    stage_renewal(central.home, out=path)
    sign(path, offline / "targets-1.pem", offline / "targets-2.pem")
    publish_from(central, path)
    assert releases(central) == ["mob/1"]
    stage_withdrawing(central.home, "mob", 1, "Spoilt.", out=path)
    assert read_staged(path).contents()[-1].endswith(": Spoilt")
    sign(path, offline / "targets-2.pem", offline / "targets-1.pem")
    publish_from(central, path)
    assert releases(central) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"format": 1, "metadata": {"targets": {}}}'])
def test_other_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadInput, match="is no file made by `c2lst-server stage`"):
        read_staged(tmp_path / "file")


def test_commands_lead_from_one_to_the_next(central: Central, offline: Path, tmp_path: Path) -> None:
    central.add_run("second")
    runner, path = CliRunner(), str(tmp_path / "staged.json")
    home = ["--home", str(central.home.path)]
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    opened = ["--passphrase-file", str(tmp_path / "passphrase")]
    first = runner.invoke(app, ["stage", "publish", "second", "--organ", "mob", "--out", path, *home])
    assert "0 of 2 signatures" in first.output
    assert f"Next: c2lst-server sign {path} --key KEY" in first.output
    for number in (1, 2):
        signed = runner.invoke(app, ["sign", path, "--key", str(offline / f"targets-{number}.pem"), *opened])
        assert f"{number} of 2 signatures" in signed.output
    assert f"Next: c2lst-server publish --staged {path}" in signed.output
    assert "Published mob/2." in runner.invoke(app, ["publish", "--staged", path, *home]).output
