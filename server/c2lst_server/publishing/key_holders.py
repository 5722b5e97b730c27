"""People who hold a key join a role or leave it. A key is made where it is to rest; only its public half comes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Root, Targets

from c2lst_server.home import Home
from c2lst_server.publishing.keys import POLICY, Keyring, make_key, open_key
from c2lst_server.publishing.passphrase import check_passphrase
from c2lst_server.publishing.repository import LIFETIME, Repository, editing
from c2lst_server.publishing.rotation import sign_root
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput

OFFLINE = [role for role, policy in POLICY.items() if policy.encrypted]


def make_apart(path: Path, passphrase: Callable[[], str]) -> tuple[Path, str]:
    """Make an encrypted key at `path`, on any machine; return the file with its public half, and the key's id.

    Raises:
        BadInput: the file is there already, or the passphrase is too short.
    """
    if path.exists():
        raise BadInput(f"{path} is there already; a key is never overwritten: choose another name.")
    check_passphrase(passphrase())
    signer = make_key(path, OFFLINE[0], passphrase)
    public = path.with_name(path.name + ".pub")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.public_key.keyval["public"]))
    atomic.write_bytes(public, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public, str(signer.public_key.keyid)


def add_key(home: Home, role: str, public: Path, passphrase: Callable[[], str], now: datetime | None = None) -> int:
    """Let the key whose public half is in the file `public` sign for `role` too; return the version of the new root.

    How many must sign stays as it is. Needs two root keys here and, for the targets, those that sign them.

    Raises:
        BadInput: the file or the role cannot be used, the key is known already, or keys are missing.
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    key = _read_public(public)

    def add(root: Root) -> None:
        if key.keyid in root.roles[role].keyids:
            raise BadInput(f"The root knows the key {key.keyid[:16]} for {role} already.")
        root.add_key(key, role)

    return _change(home, role, add, passphrase, (), now)


def remove_key(
    home: Home,
    role: str,
    keyid: str,
    passphrase: Callable[[], str],
    others: Sequence[Path] = (),
    now: datetime | None = None,
) -> int:
    """Let a key sign for `role` no more; return the version of the new root.

    Args:
        home: of the server.
        role: root or targets.
        keyid: or its first eight characters at least.
        passphrase: of the keys.
        others: key files that lie elsewhere, where those in the keys folder are not enough.
        now: instead of the clock's time.

    Raises:
        BadInput: no such key, or too few would be left, or too few are here.
        BadArtefact: a site would refuse the result; nothing was changed.
    """

    def remove(root: Root) -> None:
        known = root.roles[role]
        found = [one for one in known.keyids if one.startswith(keyid) and len(keyid) >= 8]
        if len(found) != 1:
            raise BadInput(
                f"There is no key {keyid!r} of {role}; give at least 8 characters of one of: "
                f"{', '.join(one[:16] for one in known.keyids)}."
            )
        if len(known.keyids) <= known.threshold:
            raise BadInput(f"{known.threshold} keys must sign for {role}, and no more are known; add another one first.")
        root.revoke_key(found[0], role)

    return _change(home, role, remove, passphrase, others, now)


def _change(
    home: Home,
    role: str,
    change: Callable[[Root], None],
    passphrase: Callable[[], str],
    others: Sequence[Path],
    now: datetime | None,
) -> int:
    """Sign and make visible a root with a change, and with it what a change of the targets keys makes necessary."""
    if role not in OFFLINE:
        raise BadInput(f"{role!r} has one key, on the server; keys are added to and removed from {' and '.join(OFFLINE)} only.")
    now = now or datetime.now(UTC)
    elsewhere = [open_key(path, passphrase) for path in others]
    with editing(home, Keyring(home.keys, passphrase), now) as repository:
        old = repository.root()
        root = deepcopy(old)
        change(root)
        root.version += 1
        root.expires = now + LIFETIME[Root.type]
        holders = _Holders(home.keys, passphrase, elsewhere)
        signed_root = sign_root(root, old, holders.signers(Root.type))
        changed = Repository(home, holders, now)
        if role == Targets.type:
            changed.renew()
            changed.replace_delegated_keys(root)
        changed.commit(renew_snapshot=role == Targets.type, root=signed_root)
    return root.version


class _Holders(Keyring):
    """The keys that are here, however many of a role, and those that were brought for the moment."""

    def __init__(self, folder: Path, passphrase: Callable[[], str], elsewhere: Sequence[CryptoSigner]) -> None:
        super().__init__(folder, passphrase)
        self._elsewhere = elsewhere

    def signers(self, role: str) -> list[CryptoSigner]:
        """Return the signers of a role, and whoever was brought; a signature that nobody asks for does no harm."""
        if role in POLICY and not POLICY[role].encrypted:
            return super().signers(role)
        return [*self.present(role if role in POLICY else Targets.type).values(), *self._elsewhere]


def _read_public(path: Path) -> SSlibKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise BadInput(f"The key {path} cannot be read: {error.strerror}; check the path.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} is no public key; give the .pub file that `c2lst-server keys make` wrote.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{path} is not an Ed25519 key; make one with `c2lst-server keys make`.")
    return SSlibKey.from_crypto(key)
