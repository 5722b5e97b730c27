"""The signed TUF repository of the server: read its current state, stage new metadata, make it visible in one step.

What is current is what timestamp.json leads to, never the highest number on disk: files of an interrupted publication lie
there unseen and are overwritten by the next. New metadata is kept in memory, tried out by a real TUF client, and written
with the timestamp last, so that a site sees the old state or the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    T,
    TargetFile,
    Targets,
    Timestamp,
)

from c2lst_server.home import Home
from c2lst_server.publishing.check import check_as_client
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.least_version import read_least_version
from c2lst_shared import atomic, locking
from c2lst_shared.errors import BadArtefact
from c2lst_shared.release.targets import HASHES, TOP_LEVEL_ROLES, organ_pattern

LIFETIME = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),  # the organs' roles too
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),
}
TIMESTAMP_FILE = "timestamp.json"
FIRST_ROOT = "1.root.json"
LOCK_SECONDS = 60


class Repository:
    """Metadata of `home` as it is visible, and what is to take its place.

    Args:
        home: the server's state folder.
        keyring: signs what is staged; reading needs no key.
        now: the moment from which the life of new metadata counts.
    """

    def __init__(self, home: Home, keyring: Keyring, now: datetime) -> None:
        self._home = home
        self._keyring = keyring
        self._now = now
        self._staged: dict[str, Targets] = {}  # role -> what it is to become

    def root(self) -> Root:
        """Return the newest root."""
        return self._load(Root, self.newest_root_file())

    def newest_root_file(self) -> str:
        """Return the name of the file with the newest root."""
        version = 1
        while (self._home.metadata / f"{version + 1}.root.json").exists():
            version += 1
        return f"{version}.root.json"

    def timestamp(self) -> Timestamp:
        """Return the current timestamp."""
        return self._load(Timestamp, TIMESTAMP_FILE)

    def snapshot(self) -> Snapshot:
        """Return the snapshot that the timestamp names."""
        return self._load(Snapshot, f"{self.timestamp().snapshot_meta.version}.snapshot.json")

    def targets(self, role: str = Targets.type) -> Targets:
        """Return the top-level targets, which only delegate, or the role of an organ."""
        return self._load(Targets, f"{self.snapshot().meta[f'{role}.json'].version}.{role}.json")

    def organs(self) -> list[str]:
        """Return the organs that have a role, sorted."""
        roles = (name.removesuffix(".json") for name in self.snapshot().meta)
        return sorted(role for role in roles if role not in TOP_LEVEL_ROLES)

    def renew(self) -> None:
        """Stage the targets and every organ's role as they are, for another life."""
        for role in (Targets.type, *self.organs()):
            self._staged[role] = self.targets(role)

    def add(self, organ: str, files: Mapping[str, TargetFile]) -> None:
        """Stage new targets of `organ`, delegating to its role when it is new; all other roles are renewed too."""
        self.renew()
        if organ not in self._staged:
            self._delegate(self._staged[Targets.type], organ, self.root())
            self._staged[organ] = Targets(version=1)
        self._staged[organ].targets.update(files)

    def withdraw(self, organ: str, paths: Collection[str], mark: TargetFile) -> None:
        """Stage the organ's role without the targets at `paths` and with `mark`; all other roles are renewed too."""
        self.renew()
        targets = self._staged[organ].targets
        for path in paths:
            del targets[path]
        targets[mark.path] = mark

    def draft(self) -> dict[str, Metadata[Targets]]:
        """Return what is staged, with the versions and dates that it will have and without signatures."""
        for role, targets in self._staged.items():
            targets.version = self.next_version(role)
            targets.expires = self._expiry(role)
        return {role: Metadata(targets) for role, targets in self._staged.items()}

    def next_version(self, role: str) -> int:
        """Return the version that the next targets, or the next role of an organ, will have."""
        existing = self.snapshot().meta.get(f"{role}.json")
        return self._after(existing.version if existing else 0)

    def commit(
        self,
        *,
        new: Collection[str] = (),
        renew_snapshot: bool = False,
        signed: Mapping[str, Metadata[Targets]] | None = None,
        root: Metadata[Root] | None = None,
    ) -> list[str]:
        """Sign what is staged and a new timestamp, try it as a client would, and make it visible.

        Args:
            new: target paths whose files are to be verified with it.
            renew_snapshot: sign a new snapshot even when nothing else changed.
            signed: an earlier `draft` with the signatures that it got elsewhere, in place of what is staged.
            root: a new root, signed. It is made visible last, so what is signed here must satisfy the old one too.

        Returns:
            The names of the roles that were signed.

        Raises:
            BadArtefact: a site would refuse the result; nothing was changed.
        """
        roles = self._sign_draft() if signed is None else signed
        files, snapshot = {}, self.snapshot()
        for role, metadata in roles.items():
            content = metadata.to_bytes()
            files[f"{metadata.signed.version}.{role}.json"] = content
            snapshot.meta[f"{role}.json"] = MetaFile.from_data(metadata.signed.version, content, HASHES)
        timestamp = self.timestamp()
        if roles or renew_snapshot:
            snapshot.version = self._after(snapshot.version)
            name, content = self._sign(Snapshot.type, snapshot)
            files[name] = content
            timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, content, HASHES)
        timestamp.version = self._after(timestamp.version)
        files[TIMESTAMP_FILE] = self._sign(Timestamp.type, timestamp)[1]
        if root is not None:
            files[f"{root.signed.version}.root.json"] = root.to_bytes()
        self._check(files, new)
        for name, content in files.items():  # the timestamp was put in after all that it leads to
            atomic.write_bytes(self._home.metadata / name, content)
        self._staged.clear()
        return [*roles, *([Snapshot.type] if roles or renew_snapshot else []), Timestamp.type]

    def _sign_draft(self) -> dict[str, Metadata[Targets]]:
        drafts = self.draft()
        for role, metadata in drafts.items():
            for signer in self._keyring.signers(role):
                metadata.sign(signer, append=True)
        return drafts

    def replace_delegated_keys(self, root: Root) -> None:
        """Stage that the organs' roles are signed by the targets keys of a new `root`; the targets must be staged."""
        top = self._staged[Targets.type]
        organs = [name for name in self._staged if name != Targets.type]
        top.delegations = None
        for organ in organs:
            self._delegate(top, organ, root)

    def _delegate(self, top: Targets, organ: str, root: Root) -> None:
        """Let the keys that sign the targets sign the organ's role too."""
        allowed = root.roles[Targets.type]
        keys = {keyid: root.keys[keyid] for keyid in allowed.keyids}
        role = DelegatedRole(organ, list(keys), allowed.threshold, terminating=True, paths=[organ_pattern(organ)])
        before = top.delegations or Delegations(keys={}, roles={})
        top.delegations = Delegations(keys=before.keys | keys, roles=(before.roles or {}) | {organ: role})

    def _after(self, version: int) -> int:
        """Return the version after `version`; after a restore also after those that were given and are lost."""
        return max(version + 1, read_least_version(self._home))

    def _expiry(self, role: str) -> datetime:
        return self._now + LIFETIME.get(role, LIFETIME[Targets.type])

    def _sign(self, role: str, signed: T) -> tuple[str, bytes]:
        signed.expires = self._expiry(role)
        return f"{signed.version}.{role}.json", sign(signed, self._keyring.signers(role))

    def _check(self, files: Mapping[str, bytes], new: Collection[str]) -> None:
        versions = {name: f"{meta.version}.{name}" for name, meta in self.snapshot().meta.items()}
        versions["snapshot.json"] = f"{self.timestamp().snapshot_meta.version}.snapshot.json"
        seen = {kept: self.read(served) for kept, served in {**versions, TIMESTAMP_FILE: TIMESTAMP_FILE}.items()}
        check_as_client(
            bootstrap=self.read(FIRST_ROOT),
            seen=seen,
            served=lambda name: files[name] if name in files else self._read_if_there(name),
            folder=self._home.targets,
            paths=new,
        )

    def read(self, name: str) -> bytes:
        """Return the bytes of one metadata file by the name under which it is served."""
        return (self._home.metadata / name).read_bytes()

    def _read_if_there(self, name: str) -> bytes | None:
        return self.read(name) if (self._home.metadata / name).is_file() else None

    def _load(self, kind: type[T], name: str) -> T:
        try:
            metadata = Metadata[T].from_bytes(self.read(name))
        except (OSError, RepositoryError) as error:
            raise BadArtefact(f"{self._home.metadata / name} cannot be read: {error}; restore it from a backup.") from error
        if not isinstance(metadata.signed, kind):
            raise BadArtefact(f"{self._home.metadata / name} is not {kind.type} metadata; restore it from a backup.")
        return metadata.signed


def sign(signed: T, signers: Sequence[CryptoSigner]) -> bytes:
    """Return `signed` as metadata with one signature per signer."""
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


@contextmanager
def editing(home: Home, keyring: Keyring, now: datetime | None = None) -> Iterator[Repository]:
    """Give the repository for a change while nobody else changes it.

    Raises:
        BadInput: the home is not initialised.
        Busy: another process holds the lock for a minute.
    """
    home.check_initialised()
    message = f"Another process has been changing {home.metadata} for {LOCK_SECONDS} s; try again later."
    with locking.locked(home.publishing_lock, message, wait=LOCK_SECONDS):
        yield Repository(home, keyring, now or datetime.now(UTC))
