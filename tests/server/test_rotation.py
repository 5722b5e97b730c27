"""Keys change and sites follow; a stolen key signs nothing any more; an interruption leaves what sites accept."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from fakes.central import PASSPHRASE, Central, serving
from tuf.api.metadata import Metadata, Timestamp

from c2lst_client.home import Home as SiteHome
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import load_release, pull
from c2lst_server.publishing.keys import POLICY, Keyring, key_files, make_keys
from c2lst_server.publishing.refresh import renew_targets
from c2lst_server.publishing.repository import sign
from c2lst_server.publishing.rotation import key_states, rotate
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput

NAMES = [path.stem for role in POLICY for path in key_files(Path(), role)]


@pytest.fixture
def site(central: Central, tmp_path: Path) -> SiteHome:
    """A site that has pulled under the first root."""
    home = SiteHome(tmp_path / "site")
    with serving(central):
        enrol(home, central.invite(tmp_path / "enrolment.json"))
        pull(home, "mob")
    return home


def turn(central: Central, name: str) -> int:
    return rotate(central.home, name, lambda: PASSPHRASE)


def pulls(central: Central, site: SiteHome, tmp_path: Path) -> str:
    """A pull by a site that knows the first root, from the server as it is now."""
    with serving(central):
        enrolment = site.enrolment.read_text()
        site.enrolment.write_text(_at(enrolment, central.url))
        return pull(site, "mob").manifest.name


def _at(enrolment: str, url: str) -> str:
    return json.dumps(json.loads(enrolment) | {"server": url})


@pytest.mark.parametrize("name", NAMES)
def test_each_key_can_be_replaced_and_sites_follow(central: Central, site: SiteHome, tmp_path: Path, name: str) -> None:
    before = (central.home.keys / f"{name}.pem").read_bytes()
    assert turn(central, name) == 2
    assert (central.home.keys / f"{name}.pem").read_bytes() != before
    assert all(state.known for state in key_states(central.home, lambda: PASSPHRASE))
    assert pulls(central, site, tmp_path) == "mob/1"
    central.keyring = Keyring(central.home.keys, lambda: PASSPHRASE)
    central.publish("second")
    assert pulls(central, site, tmp_path) == "mob/2"
    assert load_release(site, "mob", 2)[0].name == "mob/2"


def test_site_that_was_away_for_many_rotations_follows(central: Central, site: SiteHome, tmp_path: Path) -> None:
    versions = [turn(central, name) for name in ("root-1", "root-2", "root-3", "targets-1", "timestamp")]
    assert versions == [2, 3, 4, 5, 6]
    assert pulls(central, site, tmp_path) == "mob/1"


@pytest.mark.parametrize("name", ["root-3", "targets-1"])
def test_lost_key_is_replaced(central: Central, site: SiteHome, tmp_path: Path, name: str) -> None:
    (central.home.keys / f"{name}.pem").unlink()
    turn(central, name)
    assert all(state.known for state in key_states(central.home, lambda: PASSPHRASE))
    assert pulls(central, site, tmp_path) == "mob/1"


def test_stolen_key_signs_nothing_any_more(central: Central, site: SiteHome, tmp_path: Path) -> None:
    stolen = Keyring(shutil.copytree(central.home.keys, tmp_path / "stolen"), lambda: PASSPHRASE).signers("timestamp")
    turn(central, "timestamp")
    pulls(central, site, tmp_path)
    timestamp = Metadata[Timestamp].from_file(str(central.newest("timestamp"))).signed
    timestamp.version += 1
    central.newest("timestamp").write_bytes(sign(timestamp, stolen))
    with pytest.raises(BadArtefact, match="timestamp was signed by 0/1 keys"):
        pulls(central, site, tmp_path)


def test_too_few_root_keys_change_nothing(central: Central) -> None:
    for name in ("root-1", "root-2"):
        (central.home.keys / f"{name}.pem").unlink()
    before = {path.name: path.read_bytes() for path in [*central.home.metadata.iterdir(), *central.home.keys.iterdir()]}
    with pytest.raises(BadInput, match="A new root needs 2 of the root keys, and 1 are here"):
        turn(central, "timestamp")
    assert {path.name: path.read_bytes() for path in [*central.home.metadata.iterdir(), *central.home.keys.iterdir()]} == before


def test_unknown_name_is_refused(central: Central) -> None:
    with pytest.raises(BadInput, match=r"There is no key 'targets'; the keys are: root-1, .*, timestamp\."):
        turn(central, "targets")


class Stopped(BaseException):
    """What kill -9 looks like from inside: nothing is cleaned up that a handler would have to clean up."""


@pytest.mark.slow
@pytest.mark.parametrize("writes", range(8))
@pytest.mark.parametrize("name", ["targets-2", "snapshot", "timestamp", "root-1"])
def test_interruption_at_any_write_leaves_what_sites_accept_and_the_command_can_be_repeated(
    central: Central, site: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, writes: int
) -> None:
    left = writes
    original = atomic.write_bytes

    def failing(path: Path, content: bytes, *, mode: int = 0o644) -> None:
        nonlocal left
        if central.home.path in path.parents:
            if left == 0:
                raise Stopped
            left -= 1
        original(path, content, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write_bytes", failing)
        with contextlib.suppress(Stopped):
            turn(central, name)
    assert pulls(central, site, tmp_path) == "mob/1"
    turn(central, name)
    assert all(state.known for state in key_states(central.home, lambda: PASSPHRASE))
    assert pulls(central, site, tmp_path) == "mob/1"


def test_status_tells_a_foreign_key_and_a_missing_one(central: Central, tmp_path: Path) -> None:
    make_keys(tmp_path / "others", PASSPHRASE)
    shutil.copy(tmp_path / "others" / "targets-1.pem", central.home.keys / "targets-1.pem")
    (central.home.keys / "root-2.pem").unlink()
    states = {state.name: state for state in key_states(central.home, lambda: PASSPHRASE)}
    assert (states["targets-1"].known, states["targets-2"].known) == (False, True)
    assert states["root-2"].keyid is None


def test_renewal_after_a_rotation_needs_the_new_keys_alone(central: Central) -> None:
    turn(central, "targets-1")
    assert renew_targets(central.home, Keyring(central.home.keys, lambda: PASSPHRASE))[0] == "targets"
