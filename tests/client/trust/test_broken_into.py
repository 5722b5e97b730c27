"""Somebody has the server, and some of the keys: what can be signed with those alone does not get a site to follow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.central import PASSPHRASE, Central, tiny_weights
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from c2lst_client.home import Home
from c2lst_client.trust.pull import pull
from c2lst_server.publishing.keys import Keyring, make_keys
from c2lst_server.publishing.repository import sign
from c2lst_server.publishing.rotation import rotate
from c2lst_shared.errors import BadArtefact
from c2lst_shared.release.manifest import WEIGHTS

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).replace(microsecond=0)
Change = Callable[[Any], None]


class Intruder:
    """Has the server's disk and, unless a test says otherwise, every key of it."""

    def __init__(self, central: Central) -> None:
        self.central = central
        self.keys = deepcopy(central.keyring)

    def read(self, role: str) -> Any:
        return Metadata.from_file(str(self.central.newest(role))).signed

    def put(self, role: str, content: bytes, version: int) -> None:
        """Serve metadata of a role and lead sites to it, with the online keys."""
        (self.central.home.metadata / f"{version}.{role}.json").write_bytes(content)
        snapshot: Snapshot = self.read("snapshot")
        snapshot.meta[f"{role}.json"] = MetaFile.from_data(version, content, ["sha256"])
        snapshot.version += 1
        self.put_snapshot(snapshot)

    def put_snapshot(self, snapshot: Snapshot) -> None:
        content = sign(snapshot, self.keys.signers("snapshot"))
        (self.central.home.metadata / f"{snapshot.version}.snapshot.json").write_bytes(content)
        timestamp: Timestamp = self.read("timestamp")
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, content, ["sha256"])
        timestamp.version += 1
        self.put_timestamp(timestamp)

    def put_timestamp(self, timestamp: Timestamp) -> None:
        self.central.newest("timestamp").write_bytes(sign(timestamp, self.keys.signers("timestamp")))

    def sign(self, role: str, change: Change, signers: Sequence[CryptoSigner]) -> bytes:
        """Return the next version of a role with a change."""
        signed = self.read(role)
        signed.version += 1
        change(signed)
        return sign(signed, signers)

    def targets_keys(self) -> list[CryptoSigner]:
        return self.keys.signers("targets")


@pytest.fixture
def intruder(central: Central) -> Intruder:
    return Intruder(central)


def refused(home: Home, message: str) -> None:
    with pytest.raises(BadArtefact, match=message):
        pull(home, "mob")
    assert not (home.releases / "mob").exists() or not any((home.releases / "mob").glob("[0-9]*"))


def nothing(_: Any) -> None:
    """Sign as it is."""


def expire(signed: Any) -> None:
    signed.expires = YESTERDAY


# Roles that have expired, each kind


@pytest.mark.parametrize("role", ["targets", "mob"])
def test_expired_targets_are_refused(intruder: Intruder, enrolled: Home, role: str) -> None:
    content = intruder.sign(role, expire, intruder.targets_keys())
    intruder.put(role, content, intruder.read(role).version + 1)
    refused(enrolled, rf"out of date \(New {role} is expired\)")


def test_expired_snapshot_is_refused(intruder: Intruder, enrolled: Home) -> None:
    snapshot = intruder.read("snapshot")
    snapshot.version += 1
    expire(snapshot)
    intruder.put_snapshot(snapshot)
    refused(enrolled, r"out of date \(snapshot.json is expired\)")


def test_expired_timestamp_is_refused(intruder: Intruder, enrolled: Home) -> None:
    timestamp = intruder.read("timestamp")
    timestamp.version += 1
    expire(timestamp)
    intruder.put_timestamp(timestamp)
    refused(enrolled, r"out of date \(timestamp.json is expired\)")


def test_expired_root_is_refused(intruder: Intruder, enrolled: Home) -> None:
    content = intruder.sign("root", expire, intruder.keys.signers("root"))
    (intruder.central.home.metadata / "2.root.json").write_bytes(content)
    refused(enrolled, r"out of date \(.*root.*expired")


# Too few signatures


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("role", ["targets", "mob"])
def test_fewer_than_two_signatures_are_refused(intruder: Intruder, enrolled: Home, role: str, count: int) -> None:
    content = intruder.sign(role, nothing, intruder.targets_keys()[:count])
    intruder.put(role, content, intruder.read(role).version + 1)
    refused(enrolled, rf"not signed by the keys pinned at enrolment \({role} was signed by {count}/2")


@pytest.mark.parametrize("role", ["targets", "mob"])
def test_same_key_twice_counts_once(intruder: Intruder, enrolled: Home, role: str) -> None:
    one = json.loads(intruder.sign(role, nothing, intruder.targets_keys()[:1]))
    one["signatures"] *= 2
    intruder.put(role, json.dumps(one).encode(), one["signed"]["version"])
    refused(enrolled, "The metadata cannot be read")


def test_key_under_two_names_counts_once(intruder: Intruder, enrolled: Home) -> None:
    """A second name for the same key would have to be in the root, which two of three people sign."""
    one = json.loads(intruder.sign("mob", nothing, intruder.targets_keys()[:1]))
    (signature,) = one["signatures"]
    one["signatures"] = [signature, {**signature, "keyid": "f" * 64}]
    intruder.put("mob", json.dumps(one).encode(), one["signed"]["version"])
    refused(enrolled, "was signed by 1/2")


def test_online_keys_sign_no_release(intruder: Intruder, enrolled: Home) -> None:
    online = [*intruder.keys.signers("snapshot"), *intruder.keys.signers("timestamp")]
    intruder.put("mob", intruder.sign("mob", nothing, online), intruder.read("mob").version + 1)
    refused(enrolled, "mob was signed by 0/2")


# Old and mixed


def test_mix_of_old_and_new_files_is_refused(intruder: Intruder, enrolled: Home) -> None:
    """Without any key: each file is well signed, but they were never true together."""
    old = intruder.central.newest("mob").read_bytes()
    intruder.central.publish("second")
    intruder.central.newest("mob").write_bytes(old)
    refused(enrolled, "A file is not the one that was signed")


def test_snapshot_that_takes_a_role_back_is_refused(intruder: Intruder, enrolled: Home) -> None:
    old, version = intruder.central.newest("mob").read_bytes(), intruder.read("mob").version
    intruder.central.publish("second")
    pull(enrolled, "mob", 2)
    intruder.put("mob", old, version)
    with pytest.raises(BadArtefact, match=r"older than what this site has seen"):
        pull(enrolled, "mob")


def test_snapshot_that_leaves_a_role_out_is_refused(intruder: Intruder, enrolled: Home) -> None:
    pull(enrolled, "mob")
    snapshot = intruder.read("snapshot")
    del snapshot.meta["targets.json"]
    snapshot.version += 1
    intruder.put_snapshot(snapshot)
    with pytest.raises(BadArtefact, match="New snapshot is missing info"):
        pull(enrolled, "mob")


def test_older_snapshot_than_seen_is_refused(intruder: Intruder, enrolled: Home) -> None:
    snapshot = intruder.read("snapshot")
    intruder.central.publish("second")
    pull(enrolled, "mob", 2)
    timestamp = intruder.read("timestamp")
    content = (intruder.central.home.metadata / f"{snapshot.version}.snapshot.json").read_bytes()
    timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, content, ["sha256"])
    timestamp.version += 1
    intruder.put_timestamp(timestamp)
    with pytest.raises(BadArtefact, match="older than what this site has seen"):
        pull(enrolled, "mob")


def test_fast_forward_ends_when_the_keys_are_replaced(intruder: Intruder, enrolled: Home) -> None:
    """Version numbers that were driven up with stolen online keys do not lock the true ones out for ever."""
    central = intruder.central
    true = {path.name: path.read_bytes() for path in central.home.metadata.iterdir()}
    snapshot = intruder.read("snapshot")
    snapshot.version = 999_999
    timestamp = intruder.read("timestamp")
    timestamp.version = 999_999
    content = sign(snapshot, intruder.keys.signers("snapshot"))
    (central.home.metadata / f"{snapshot.version}.snapshot.json").write_bytes(content)
    timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, content, ["sha256"])
    intruder.put_timestamp(timestamp)
    pull(enrolled, "mob")  # nothing says that this is not the true server
    for path in central.home.metadata.iterdir():
        path.unlink()
    for name, kept in true.items():
        (central.home.metadata / name).write_bytes(kept)
    with pytest.raises(BadArtefact, match="older than what this site has seen"):
        pull(enrolled, "mob")
    for name in ("snapshot", "timestamp"):
        rotate(central.home, name, lambda: PASSPHRASE)
    assert pull(enrolled, "mob").manifest.name == "mob/1"


# Files in the wrong place


def test_weights_of_another_organ_under_this_one_s_name_are_refused(central: Central, enrolled: Home) -> None:
    weights = {name: torch.flip(tensor, [0]) for name, tensor in tiny_weights(7).items()}
    central.publish("lung-run", organ="lung", weights=weights)
    central.served(WEIGHTS).write_bytes(central.served(WEIGHTS, organ="lung").read_bytes())
    refused(enrolled, "A file is not the one that was signed")


def test_root_that_lowers_the_thresholds_needs_two_root_keys(intruder: Intruder, enrolled: Home) -> None:
    def one_is_enough(root: Root) -> None:
        for role in root.roles.values():
            role.threshold = 1

    content = intruder.sign("root", one_is_enough, intruder.keys.signers("root")[:1])
    (intruder.central.home.metadata / "2.root.json").write_bytes(content)
    refused(enrolled, "root was signed by 1/2")


def test_targets_that_hand_an_organ_to_other_keys_need_both_targets_keys(
    intruder: Intruder, enrolled: Home, tmp_path: Path
) -> None:
    make_keys(tmp_path / "mine", PASSPHRASE)
    mine = Keyring(tmp_path / "mine", lambda: PASSPHRASE).signers("targets")

    def hand_over(targets: Targets) -> None:
        delegations = targets.delegations
        assert delegations is not None
        assert delegations.roles is not None
        for signer in mine:
            delegations.keys[signer.public_key.keyid] = signer.public_key
        delegations.roles["mob"].keyids = [signer.public_key.keyid for signer in mine]

    content = intruder.sign("targets", hand_over, intruder.targets_keys()[:1])
    intruder.put("targets", content, intruder.read("targets").version + 1)
    refused(enrolled, "targets was signed by 1/2")


def test_version_in_the_name_must_be_the_version_inside(intruder: Intruder, enrolled: Home) -> None:
    content = re.sub(rb'"version":\d+}}$', b'"version":77}}', intruder.central.newest("root").read_bytes())
    (intruder.central.home.metadata / "2.root.json").write_bytes(content)
    refused(enrolled, "root was signed by 0/2")
