"""A new home has keys that only their owner can read, and metadata that a site accepts; nothing is ever replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tuf.api.metadata import Metadata, Root

from c2lst_server.home import Home
from c2lst_server.publishing.initialise import initialise, root_fingerprint
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.passphrase import make_passphrase_file, read_passphrase_file
from c2lst_shared.errors import BadInput

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("central") / "home")
    initialise(home, PASSPHRASE)
    return home


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_keys_are_readable_by_their_owner_only(home: Home) -> None:
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.keys.iterdir()} == dict.fromkeys(
        ["root-1.pem", "root-2.pem", "root-3.pem", "targets-1.pem", "targets-2.pem", "snapshot.pem", "timestamp.pem"], 0o600
    )
    assert stat.S_IMODE(home.keys.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["root-1", "root-2", "root-3", "targets-1", "targets-2"])
def test_offline_key_opens_with_its_passphrase_only(home: Home, name: str) -> None:
    pem = (home.keys / f"{name}.pem").read_bytes()
    load_pem_private_key(pem, PASSPHRASE.encode())
    with pytest.raises(TypeError, match="encrypted"):
        load_pem_private_key(pem, None)


def test_root_names_the_thresholds(home: Home) -> None:
    root = Metadata[Root].from_file(str(home.metadata / "1.root.json")).signed
    assert {role: (len(part.keyids), part.threshold) for role, part in root.roles.items()} == {
        "root": (3, 2),
        "targets": (2, 2),
        "snapshot": (1, 1),
        "timestamp": (1, 1),
    }
    assert root.consistent_snapshot


def test_second_initialisation_is_refused_and_changes_nothing(home: Home) -> None:
    before, fingerprint = files(home.path), root_fingerprint(home)
    with pytest.raises(BadInput, match="keys are never replaced"):
        initialise(home, PASSPHRASE)
    assert files(home.path) == before
    assert root_fingerprint(home) == fingerprint


def test_short_passphrase_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has 5 characters"):
        initialise(Home(tmp_path), "short")
    assert list(tmp_path.iterdir()) == []


def test_wrong_passphrase_opens_no_key(home: Home) -> None:
    with pytest.raises(BadInput, match=r"targets-1.pem does not open; check the passphrase"):
        Keyring(home.keys, lambda: "something else").signers("mob")


def test_online_keys_need_no_passphrase(home: Home) -> None:
    def refuse() -> str:
        raise AssertionError("nobody may be asked")

    assert len(Keyring(home.keys, refuse).signers("timestamp")) == 1


def test_home_that_is_not_initialised_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run `c2lst-server init` first"):
        Home(tmp_path).check_initialised()


def test_passphrase_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "passphrase"
    make_passphrase_file(path)
    first = read_passphrase_file(path)
    make_passphrase_file(path)
    assert read_passphrase_file(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [None, "", "\nsecond line"])
def test_passphrase_file_without_passphrase_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "passphrase"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match="passphrase file"):
        read_passphrase_file(path)
