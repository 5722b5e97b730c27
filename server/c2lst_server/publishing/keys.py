"""The private keys that sign releases: Ed25519, in PEM files of which root's and targets' are encrypted.

Two thresholds protect a site: a new release needs both targets keys, a change of keys needs two of the three root keys.
Those five are used by people, seldom. The snapshot and timestamp keys are used by the service itself every day; all that
they can do is to vouch for which signed files are the current ones.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from c2lst_server.publishing.passphrase import check_passphrase
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput


class KeyPolicy(NamedTuple):
    """How many keys a role has, how many must sign, and whether they rest encrypted."""

    keys: int
    threshold: int
    encrypted: bool


POLICY = {
    "root": KeyPolicy(keys=3, threshold=2, encrypted=True),
    "targets": KeyPolicy(keys=2, threshold=2, encrypted=True),  # also signs the organs' roles
    "snapshot": KeyPolicy(keys=1, threshold=1, encrypted=False),
    "timestamp": KeyPolicy(keys=1, threshold=1, encrypted=False),
}


class Keyring:
    """The keys in one folder, read when a role is signed for and not before.

    Args:
        folder: where the PEM files are.
        passphrase: gives the passphrase of the encrypted ones; not called for the online roles.
    """

    def __init__(self, folder: Path, passphrase: Callable[[], str]) -> None:
        self._folder = folder
        self._passphrase = passphrase
        self._signers: dict[str, list[CryptoSigner]] = {}

    def present(self, role: str) -> dict[Path, CryptoSigner]:
        """Return the signers of those key files of `role` that are here; a lost key is no fault."""
        passphrase = self._passphrase() if POLICY[role].encrypted else None
        return {path: _load(path, passphrase) for path in key_files(self._folder, role) if path.exists()}

    def signers(self, role: str) -> list[CryptoSigner]:
        """Return the signers for a role; an organ's role is signed by the targets keys.

        Raises:
            BadInput: a key file is missing, is no Ed25519 key, or the passphrase does not open it.
        """
        owner = role if role in POLICY else "targets"
        if owner not in self._signers:
            passphrase = self._passphrase() if POLICY[owner].encrypted else None
            self._signers[owner] = [_load(path, passphrase) for path in key_files(self._folder, owner)]
        return self._signers[owner]


def key_files(folder: Path, role: str) -> list[Path]:
    """Return the paths of the PEM files of `role`: root-1.pem, root-2.pem ..., snapshot.pem."""
    count = POLICY[role].keys
    return [folder / (f"{role}-{number}.pem" if count > 1 else f"{role}.pem") for number in range(1, count + 1)]


def make_keys(folder: Path, passphrase: str) -> None:
    """Make every key of POLICY in `folder`, readable by the owner only.

    Raises:
        BadInput: the passphrase is too short.
    """
    check_passphrase(passphrase)
    folder.mkdir(parents=True, mode=0o700)
    for role in POLICY:
        for path in key_files(folder, role):
            make_key(path, role, lambda: passphrase)


def role_of(name: str) -> str:
    """Return the role of the key called `name`, for example `targets` of `targets-2`.

    Raises:
        BadInput: there is no key of that name.
    """
    names = {path.stem: role for role in POLICY for path in key_files(Path(), role)}
    if name not in names:
        raise BadInput(f"There is no key {name!r}; the keys are: {', '.join(names)}.")
    return names[name]


def make_key(path: Path, role: str, passphrase: Callable[[], str]) -> CryptoSigner:
    """Make a key for `role` at `path`, readable by the owner only, and return its signer."""
    secret = passphrase() if POLICY[role].encrypted else None
    encryption: KeySerializationEncryption = BestAvailableEncryption(secret.encode()) if secret else NoEncryption()
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    atomic.write_bytes(path, pem, mode=0o600)
    return _load(path, secret)


def open_key(path: Path, passphrase: Callable[[], str]) -> CryptoSigner:
    """Return the signer of one key file, wherever it lies; asks for the passphrase when the key is encrypted.

    Raises:
        BadInput: it cannot be read or opened, or is no Ed25519 key.
    """
    try:
        encrypted = b"ENCRYPTED" in path.read_bytes()
    except OSError as error:
        raise BadInput(f"The key {path} cannot be read: {error}; check the path.") from error
    return _load(path, passphrase() if encrypted else None)


def _load(path: Path, passphrase: str | None) -> CryptoSigner:
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode() if passphrase is not None else None)
    except OSError as error:
        raise BadInput(f"The key {path} cannot be read: {error}; restore it from its backup.") from error
    except (ValueError, TypeError) as error:
        raise BadInput(f"The key {path} does not open; check the passphrase, or restore the key from its backup.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"The key {path} is not an Ed25519 key; restore it from its backup.")
    return CryptoSigner(key)
