"""A key that was lost, stolen, or has served its time gives way to a new one; sites follow through a new root.

What the new keys sign is signed by those of the old ones that are here as well, and becomes visible before the new root does:
so at every moment a site that has the old root and one that has the new root both accept what is served. Where a lost key
leaves too few old ones, sites refuse for the moment between the two; if it is interrupted there, the same command mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Targets

from c2lst_server.home import Home
from c2lst_server.publishing.keys import POLICY, Keyring, key_files, make_key, open_key, role_of
from c2lst_server.publishing.repository import LIFETIME, Repository, editing
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput, C2lstError


class KeyState(NamedTuple):
    """One key as the root knows it."""

    name: str  # of the file in the keys folder; "elsewhere" for a key of the root that has none here
    role: str
    threshold: int
    keyid: str | None  # None = the file is not here
    known: bool  # whether the current root accepts it


def key_states(home: Home, passphrase: Callable[[], str]) -> list[KeyState]:
    """Return which keys are here and whether the root knows them; opens the encrypted ones.

    Raises:
        BadInput: the home is not initialised, or the passphrase does not open a key.
    """
    home.check_initialised()
    keyring = Keyring(home.keys, passphrase)
    root = Repository(home, keyring, datetime.now(UTC)).root()
    states = []
    for role in POLICY:
        here = keyring.present(role)
        for path in key_files(home.keys, role):
            keyid = here[path].public_key.keyid if path in here else None
            states.append(KeyState(path.stem, role, root.roles[role].threshold, keyid, keyid in root.roles[role].keyids))
        held = {state.keyid for state in states}
        for keyid in root.roles[role].keyids:
            if keyid not in held:
                states.append(KeyState("elsewhere", role, root.roles[role].threshold, keyid, known=True))
    return states


def rotate(home: Home, name: str, passphrase: Callable[[], str], now: datetime | None = None) -> int:
    """Replace the key called `name` (for example `targets-2`) and return the version of the new root.

    Needs enough of the root keys to be here, and for a targets key the other one.

    Raises:
        BadInput: there is no such key, keys are missing, or the passphrase does not open one.
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    role = role_of(name)
    path, now = home.keys / f"{name}.pem", now or datetime.now(UTC)
    with editing(home, Keyring(home.keys, passphrase), now) as repository:
        old = repository.root()
        _finish_interrupted(home, old, passphrase)
        here = {kind: Keyring(home.keys, passphrase).present(kind) for kind in {role, "root"}}
        leaving = _keyid_of(path, here[role], old, role)
        fresh = _fresh(path)
        new = make_key(fresh, role, passphrase)
        try:
            root = _new_root(old, role, leaving, new, now)
            signed_root = sign_root(root, old, [*here["root"].values(), *([new] if role == Root.type else [])])
            changed = Repository(home, _WithNew(home.keys, passphrase, role, new), now)
            if role == Targets.type:
                changed.renew()
                changed.replace_delegated_keys(root)
            changed.commit(renew_snapshot=role != Root.type, root=signed_root)
            atomic.write_bytes(path, fresh.read_bytes(), mode=0o600)
        except C2lstError:
            fresh.unlink()
            raise
        fresh.unlink()
    return root.version


def _fresh(path: Path) -> Path:
    """Where a key lies until the root that names it is visible."""
    return path.with_name(f".{path.stem}.new.pem")


def _finish_interrupted(home: Home, root: Root, passphrase: Callable[[], str]) -> None:
    """Put a new key in its place when its root became visible and the process then ended; remove it when not."""
    for role in POLICY:
        for path in key_files(home.keys, role):
            fresh = _fresh(path)
            if fresh.exists():
                if open_key(fresh, passphrase).public_key.keyid in root.roles[role].keyids:
                    fresh.replace(path)
                fresh.unlink(missing_ok=True)


def _keyid_of(path: Path, here: Mapping[Path, CryptoSigner], root: Root, role: str) -> str:
    known = root.roles[role].keyids
    if path in here and here[path].public_key.keyid in known:
        return str(here[path].public_key.keyid)
    others = {signer.public_key.keyid for signer in here.values()}
    lost = [keyid for keyid in known if keyid not in others]
    if len(lost) != 1:
        raise BadInput(
            f"{path.name} is not here, and neither is another {role} key, so it cannot be told which one is to be replaced; "
            "restore the other keys to the keys folder first."
        )
    return lost[0]


def _new_root(old: Root, role: str, leaving: str, new: CryptoSigner, now: datetime) -> Root:
    root = deepcopy(old)
    root.revoke_key(leaving, role)
    root.add_key(new.public_key, role)
    root.version += 1
    root.expires = now + LIFETIME[Root.type]
    return root


def sign_root(root: Root, old: Root, signers: list[CryptoSigner]) -> Metadata[Root]:
    """Return a new root with signatures that satisfy the old one and itself.

    Raises:
        BadInput: there are too few signers.
    """
    metadata = Metadata(root)
    for signer in signers:
        metadata.sign(signer, append=True)
    for accepting in (old, root):
        result = accepting.get_verification_result(Root.type, metadata.signed_bytes, metadata.signatures)
        if not result:
            raise BadInput(
                f"A new root needs {result.threshold} of the root keys, and {len(result.signed)} are here; restore them to the "
                "keys folder for this moment."
            )
    return metadata


class _WithNew(Keyring):
    """The keys that are here, and a new one beside the old one of its role."""

    def __init__(self, folder: Path, passphrase: Callable[[], str], role: str, new: CryptoSigner) -> None:
        super().__init__(folder, passphrase)
        self._role = role
        self._new = new
        self._all = self.present(role)

    def signers(self, role: str) -> list[CryptoSigner]:
        """Return the signers of a role, and the new one with them where it is to sign; organs' roles belong to the targets."""
        if self._role == (role if role in POLICY else Targets.type):
            return [*self._all.values(), self._new]
        return super().signers(role)
