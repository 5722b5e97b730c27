"""Signing on several machines: what is to be signed goes into a file, the file to the keys, and back when enough have signed.

The file says in plain words what it is for, and holds the metadata of each role with the keys that may sign it. Adding a
signature needs neither the server nor the network. Publishing it verifies everything anew, with what the server knows.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.api.serialization import DeserializationError

from c2lst_server.home import Home
from c2lst_server.publishing.keys import Keyring, open_key
from c2lst_server.publishing.publish import make_visible, place
from c2lst_server.publishing.repository import Repository, editing
from c2lst_server.publishing.withdraw import forget_files, stage_withdrawal
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import MANIFEST, Manifest, parse_manifest
from c2lst_shared.release.targets import FILES, served_path, split_release, target_path

MAX_BYTES = 20 << 20

Action = Literal["publish", "withdraw", "renew"]


class Signers(BaseModel):
    """Who may sign a role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyids: list[str]
    threshold: Annotated[int, Field(ge=1)]


class Staged(BaseModel):
    """What waits for signatures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    action: Action
    release: str = ""  # for example mob/3; empty for `renew`
    run_id: str = ""  # of what is published
    reason: str = ""  # of a withdrawal
    staged: datetime
    signers: dict[str, Signers]
    metadata: dict[str, dict[str, Any]]  # role -> TUF metadata with the signatures so far

    @property
    def in_words(self) -> str:
        """What a signature means."""
        what = f"{self.action} {self.release}".strip()
        return f"{what}: {self.reason}" if self.reason else what

    def signatures(self) -> dict[str, int]:
        """Return for each role how many of its keys have signed; whether rightly, publishing says."""
        return {
            role: len({signature["keyid"] for signature in content["signatures"]} & set(self.signers[role].keyids))
            for role, content in self.metadata.items()
        }


def stage_publication(home: Home, session: Session, run_id: str, *, organ: str, summary: str, out: Path) -> Staged:
    """Put the next release of `organ` in its place, unseen, and write what is to be signed to `out`.

    Raises:
        BadInput, BadArtefact: the run cannot be published.
    """
    with editing(home, _online(home)) as repository:
        manifest, _ = place(home, session, repository, run_id, organ=organ, summary=summary)
        return _write(repository, out, action="publish", release=manifest.name, run_id=run_id)


def stage_withdrawing(home: Home, organ: str, number: int, reason: str, *, out: Path) -> Staged:
    """Write to `out` what is to be signed to withdraw a release.

    Raises:
        BadInput: there is no such release, it is withdrawn already, or the reason is no line of text.
    """
    with editing(home, _online(home)) as repository:
        stage_withdrawal(home, repository, organ, number, reason, datetime.now(UTC))
        return _write(repository, out, action="withdraw", release=f"{organ}/{number}", reason=reason)


def stage_renewal(home: Home, *, out: Path) -> Staged:
    """Write to `out` the targets and every organ's role as they are, for another life."""
    with editing(home, _online(home)) as repository:
        repository.renew()
        return _write(repository, out, action="renew")


def read_staged(path: Path) -> Staged:
    """Return what waits for signatures at `path`.

    Raises:
        BadInput: it cannot be read, or is something else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} is too long for a file made by `c2lst-server stage`.")
        staged = Staged.model_validate_json(path.read_bytes())
        _parse(staged)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; check the path.") from error
    except (ValidationError, DeserializationError, RepositoryError, ValueError, KeyError) as error:
        raise BadInput(f"{path} is no file made by `c2lst-server stage`; stage again.") from error
    return staged


def add_signature(path: Path, key: Path, passphrase: Callable[[], str]) -> Staged:
    """Sign everything in the file at `path` that `key` may sign, and write it back.

    Raises:
        BadInput: the file or the key cannot be used, or the key may sign nothing in it.
    """
    staged = read_staged(path)
    signer = open_key(key, passphrase)
    roles = [role for role, signers in staged.signers.items() if signer.public_key.keyid in signers.keyids]
    if not roles:
        raise BadInput(f"The key {key} may sign nothing of this; use one of the targets keys that the server knows.")
    metadata = _parse(staged)
    for role in roles:
        metadata[role].sign(signer, append=True)
    signed = staged.model_copy(update={"metadata": {role: content.to_dict() for role, content in metadata.items()}})
    atomic.write_text(path, signed.model_dump_json(indent=1))
    return signed


def publish_staged(home: Home, session: Session, path: Path) -> Staged:
    """Make visible what the file at `path` holds, when enough keys have signed it; needs the online keys only.

    Raises:
        BadInput: signatures are missing, or something else was published since it was staged.
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    staged = read_staged(path)
    metadata = _parse(staged)
    with editing(home, _online(home)) as repository:
        _check_versions(repository, metadata)
        _check_signatures(repository.root(), metadata)
        if staged.action == "publish":
            organ, number = split_release(staged.release)
            manifest, files = _placed(home, metadata[organ].signed, organ, number)
            make_visible(home, session, repository, manifest, staged.run_id, files, signed=metadata)
            return staged
        repository.commit(signed=metadata)
        if staged.action == "withdraw":
            forget_files(home, *split_release(staged.release))
    return staged


def _write(repository: Repository, out: Path, **what: Any) -> Staged:
    drafts = repository.draft()
    staged = Staged(
        staged=datetime.now(UTC),
        signers={role: _signers(repository.root(), drafts, role) for role in drafts},
        metadata={role: draft.to_dict() for role, draft in drafts.items()},
        **what,
    )
    atomic.write_text(out, staged.model_dump_json(indent=1))
    return staged


def _signers(root: Root, drafts: dict[str, Metadata[Targets]], role: str) -> Signers:
    allowed = _delegator(root, drafts, role).get_delegated_role(role)
    return Signers(keyids=list(allowed.keyids), threshold=allowed.threshold)


def _delegator(root: Root, metadata: dict[str, Metadata[Targets]], role: str) -> Root | Targets:
    """Return what says who signs `role`: the root for the targets, the targets for an organ's role."""
    return root if role == Targets.type else metadata[Targets.type].signed


def _parse(staged: Staged) -> dict[str, Metadata[Targets]]:
    found: dict[str, Metadata[Targets]] = {}
    for role, content in staged.metadata.items():
        metadata = Metadata[Targets].from_dict(deepcopy(content))  # TUF's parser takes its input apart
        if not isinstance(metadata.signed, Targets) or role not in staged.signers:
            raise ValueError(role)
        found[role] = metadata
    return found


def _check_versions(repository: Repository, metadata: dict[str, Metadata[Targets]]) -> None:
    current = repository.snapshot().meta
    for role, staged in metadata.items():
        existing = current.get(f"{role}.json")
        if staged.signed.version != (existing.version + 1 if existing else 1):
            raise BadInput("Something was published since this was staged; stage it again and let it be signed again.")
    if {name.removesuffix(".json") for name in current} - set(metadata):
        raise BadInput("An organ was published since this was staged; stage it again and let it be signed again.")


def _check_signatures(root: Root, metadata: dict[str, Metadata[Targets]]) -> None:
    for role, staged in metadata.items():
        try:
            _delegator(root, metadata, role).verify_delegate(role, staged.signed_bytes, staged.signatures)
        except (UnsignedMetadataError, ValueError) as error:
            raise BadInput(
                f"Signatures are missing ({error}); let the holders of the other keys run `c2lst-server sign FILE --key KEY`."
            ) from error


def _placed(home: Home, targets: Targets, organ: str, number: int) -> tuple[Manifest, dict[str, TargetFile]]:
    files = {path: targets.targets[path] for path in (target_path(organ, number, file) for file in FILES)}
    path = target_path(organ, number, MANIFEST)
    content = (home.targets / served_path(path, files[path].hashes["sha256"])).read_bytes()
    return parse_manifest(content), files


def _online(home: Home) -> Keyring:
    def refuse() -> str:
        raise BadInput("This needs the online keys only; restore snapshot.pem and timestamp.pem to the keys folder.")

    return Keyring(home.keys, refuse)
