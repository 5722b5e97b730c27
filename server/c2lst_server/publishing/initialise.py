"""Make a new home: keys and the first, empty, signed repository."""

from __future__ import annotations

import hashlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import MetaFile, Root, Snapshot, Targets, Timestamp

from c2lst_server.home import Home
from c2lst_server.publishing.check import check_as_client
from c2lst_server.publishing.keys import POLICY, Keyring, make_keys
from c2lst_server.publishing.repository import FIRST_ROOT, LIFETIME, TIMESTAMP_FILE, sign
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.release.targets import HASHES


def initialise(home: Home, passphrase: str) -> None:
    """Make keys and the first metadata; both appear when all is done, so a stopped call leaves nothing that counts.

    Raises:
        BadInput: the home has keys or metadata already, or the passphrase is too short.
    """
    for existing in (home.keys, home.metadata.parent):
        if existing.exists():
            raise BadInput(f"{existing} exists already; keys are never replaced: choose another --home or move it away.")
    home.path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.path, prefix=".init-") as name:
        draft = Home(Path(name))
        make_keys(draft.keys, passphrase)
        _write_first_metadata(draft, Keyring(draft.keys, lambda: passphrase))
        draft.keys.rename(home.keys)
        draft.metadata.parent.rename(home.metadata.parent)


def root_fingerprint(home: Home) -> str:
    """Return the SHA-256 of the first root, by which people recognise this server."""
    return hashlib.sha256((home.metadata / FIRST_ROOT).read_bytes()).hexdigest()


def _write_first_metadata(draft: Home, keyring: Keyring) -> None:
    now = datetime.now(UTC)
    root = Root(consistent_snapshot=True, expires=now + LIFETIME[Root.type])
    for role, policy in POLICY.items():
        for signer in keyring.signers(role):
            root.add_key(signer.public_key, role)
        root.roles[role].threshold = policy.threshold
    targets = sign(Targets(expires=now + LIFETIME[Targets.type]), keyring.signers(Targets.type))
    meta = {"targets.json": MetaFile.from_data(1, targets, HASHES)}
    snapshot = sign(Snapshot(expires=now + LIFETIME[Snapshot.type], meta=meta), keyring.signers(Snapshot.type))
    current = MetaFile.from_data(1, snapshot, HASHES)
    timestamp = sign(Timestamp(expires=now + LIFETIME[Timestamp.type], snapshot_meta=current), keyring.signers(Timestamp.type))
    files = {
        FIRST_ROOT: sign(root, keyring.signers(Root.type)),
        "1.targets.json": targets,
        "1.snapshot.json": snapshot,
        TIMESTAMP_FILE: timestamp,
    }
    check_as_client(files[FIRST_ROOT], seen={}, served=files.get, folder=draft.targets, paths=())
    draft.targets.mkdir(parents=True)
    for file, content in files.items():
        atomic.write_bytes(draft.metadata / file, content)
