"""Keys that were made on other machines join a role and leave it; their private halves never come to the server."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import PASSPHRASE, Central, serving
from typer.testing import CliRunner

from c2lst_client.home import Home as SiteHome
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import pull
from c2lst_server.cli import app
from c2lst_server.publishing.key_holders import add_key, make_apart, remove_key
from c2lst_server.publishing.rotation import KeyState, key_states
from c2lst_server.publishing.staging import add_signature, publish_staged, stage_publication, stage_renewal
from c2lst_shared.errors import BadInput


def passphrase() -> str:
    return PASSPHRASE


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A key on a stick."""
    (tmp_path / "stick").mkdir()
    make_apart(tmp_path / "stick" / "key.pem", passphrase)
    return tmp_path / "stick" / "key.pem"


def added(central: Central, stick: Path, role: str = "targets") -> int:
    return add_key(central.home, role, stick.with_name("key.pem.pub"), passphrase)


def states(central: Central) -> dict[str, KeyState]:
    return {state.name: state for state in key_states(central.home, passphrase)}


def keyid(central: Central, name: str) -> str:
    found = states(central)[name].keyid
    assert found is not None
    return found


def visible(central: Central) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in central.home.metadata.iterdir()}


def test_key_is_made_where_it_rests(tmp_path: Path) -> None:
    public, _ = make_apart(tmp_path / "key.pem", passphrase)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "key.pem").read_bytes()
    assert public.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    with pytest.raises(BadInput, match="is there already"):
        make_apart(tmp_path / "key.pem", passphrase)
    with pytest.raises(BadInput, match="passphrase"):
        make_apart(tmp_path / "other.pem", lambda: "short")
    assert not (tmp_path / "other.pem").exists()


def test_added_key_signs_in_the_place_of_another_and_sites_follow(central: Central, stick: Path, tmp_path: Path) -> None:
    home = SiteHome(tmp_path / "site")
    with serving(central):
        enrol(home, central.invite(tmp_path / "file"))  # pins the first root
        assert added(central, stick) == 2
        assert states(central)["elsewhere"].role == "targets"
        central.add_run("second")
        with central.session() as session:
            stage_publication(central.home, session, "second", organ="mob", summary="", out=tmp_path / "staged")
            for key in (central.home.keys / "targets-1.pem", stick):
                add_signature(tmp_path / "staged", key, passphrase)
            publish_staged(central.home, session, tmp_path / "staged")
        assert pull(home, "mob").manifest.name == "mob/2"


def test_removed_key_signs_nothing_any_more(central: Central, stick: Path, tmp_path: Path) -> None:
    added(central, stick)
    assert remove_key(central.home, "targets", keyid(central, "targets-2")[:8], passphrase, [stick]) == 3
    assert not states(central)["targets-2"].known
    stage_renewal(central.home, out=tmp_path / "staged")
    add_signature(tmp_path / "staged", central.home.keys / "targets-1.pem", passphrase)
    with pytest.raises(BadInput, match="may sign nothing of this"):
        add_signature(tmp_path / "staged", central.home.keys / "targets-2.pem", passphrase)
    add_signature(tmp_path / "staged", stick, passphrase)
    with central.session() as session:
        publish_staged(central.home, session, tmp_path / "staged")


def test_root_key_joins_and_leaves(central: Central, stick: Path) -> None:
    assert added(central, stick, "root") == 2
    assert remove_key(central.home, "root", keyid(central, "root-3"), passphrase) == 3
    found = {state.name: state.known for state in key_states(central.home, passphrase) if state.role == "root"}
    assert found == {"root-1": True, "root-2": True, "root-3": False, "elsewhere": True}
    central.publish("second")


def test_no_role_is_left_with_too_few_keys(central: Central) -> None:
    before = visible(central)
    with pytest.raises(BadInput, match="2 keys must sign for targets, and no more are known; add another one first"):
        remove_key(central.home, "targets", keyid(central, "targets-2"), passphrase)
    assert visible(central) == before


def test_what_cannot_be_done_changes_nothing(central: Central, stick: Path, tmp_path: Path) -> None:
    added(central, stick)
    before = visible(central)
    other = tmp_path / "p384.pub"
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    other.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for role, public, message in [
        ("targets", stick.with_name("key.pem.pub"), "knows the key .* already"),
        ("timestamp", stick.with_name("key.pem.pub"), "has one key, on the server"),
        ("targets", stick, "is no public key"),
        ("targets", other, "is not an Ed25519 key"),
        ("targets", tmp_path / "absent", "cannot be read"),
    ]:
        with pytest.raises(BadInput, match=message):
            add_key(central.home, role, public, passphrase)
    for wrong in ("f" * 64, "", keyid(central, "targets-1")[:7]):
        with pytest.raises(BadInput, match="give at least 8 characters of one of"):
            remove_key(central.home, "targets", wrong, passphrase)
    (central.home.keys / "root-1.pem").unlink()
    (central.home.keys / "root-2.pem").unlink()
    with pytest.raises(BadInput, match="A new root needs 2 of the root keys"):
        remove_key(central.home, "targets", keyid(central, "targets-2"), passphrase, [stick])
    assert visible(central) == before


def test_commands_tell_what_comes_next(central: Central, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    home = ["--home", str(central.home.path), "--passphrase-file", str(secret)]
    run = CliRunner()
    made = run.invoke(app, ["keys", "make", str(tmp_path / "third.pem"), "--passphrase-file", str(secret)])
    assert made.exit_code == 0, made.output
    assert "Next, there: c2lst-server keys add targets third.pem.pub" in made.output
    joined = run.invoke(app, ["keys", "add", "targets", str(tmp_path / "third.pem.pub"), *home])
    assert "Root 2 knows the key for targets" in joined.output
    shown = run.invoke(app, ["keys", "status", *home]).output
    (line,) = (line for line in shown.splitlines() if line.startswith("elsewhere"))
    gone = run.invoke(app, ["keys", "remove", "targets", line.split()[3], *home])
    assert "Root 3 does not know the key any more" in gone.output
