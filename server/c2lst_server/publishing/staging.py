"""Signing on several machines: what is to be signed goes into a file, the file to the keys, and back when enough have signed.

The file holds the metadata of each role with the keys that may sign it. Adding a signature needs neither the server nor the
network. What the holder of a key is shown, and what publishing does, is read from that metadata itself and never from words
beside it, which anybody could change without a signature being the worse for it.
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

from c2lst_server.actions import Action, note
from c2lst_server.home import Home
from c2lst_server.publishing.keys import Keyring, open_key
from c2lst_server.publishing.publish import make_visible, place
from c2lst_server.publishing.repository import Repository, editing
from c2lst_server.publishing.withdraw import forget_files, stage_withdrawal
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import MANIFEST, WEIGHTS, Manifest, parse_manifest
from c2lst_shared.release.targets import FILES, complete_numbers, served_path, target_path
from c2lst_shared.release.withdrawal import withdrawals

MAX_BYTES = 20 << 20


class Signers(BaseModel):
    """Who may sign a role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyids: list[str]
    threshold: Annotated[int, Field(ge=1)]


class Staged(BaseModel):
    """What waits for signatures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    run_id: str = ""  # of the release that is new in it; empty when none is
    signers: dict[str, Signers]
    metadata: dict[str, dict[str, Any]]  # role -> TUF metadata with the signatures so far

    def contents(self) -> list[str]:
        """Return, a line each, what a signature says: every release of every organ, and every withdrawal."""
        lines = []
        for role, metadata in _parse(self).items():
            signed = metadata.signed
            lines.append(f"{role} version {signed.version}, until {signed.expires:%Y-%m-%d}")
            for number in complete_numbers(signed.targets, role):
                weights = signed.targets[target_path(role, number, WEIGHTS)].hashes["sha256"]
                lines.append(f"  {role}/{number}, weights {weights}")
            lines += [f"  {role}/{number} {withdrawal}" for number, withdrawal in withdrawals(signed.targets, role).items()]
        return lines

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
        place(home, session, repository, run_id, organ=organ, summary=summary)
        return _write(repository, out, run_id=run_id)


def stage_withdrawing(home: Home, organ: str, number: int, reason: str, *, out: Path) -> Staged:
    """Write to `out` what is to be signed to withdraw a release.

    Raises:
        BadInput: there is no such release, it is withdrawn already, or the reason is no line of text.
    """
    with editing(home, _online(home)) as repository:
        stage_withdrawal(home, repository, organ, number, reason, datetime.now(UTC))
        return _write(repository, out)


def stage_renewal(home: Home, *, out: Path) -> Staged:
    """Write to `out` the targets and every organ's role as they are, for another life."""
    with editing(home, _online(home)) as repository:
        repository.renew()
        return _write(repository, out)


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


def publish_staged(home: Home, session: Session, path: Path) -> list[str]:
    """Make visible what the file at `path` holds, when enough keys have signed it; needs the online keys only.

    Returns:
        What changed, a line each.

    Raises:
        BadInput: signatures are missing, or something else was published since it was staged.
        BadArtefact: a site would refuse the result; nothing was changed.
    """
    staged = read_staged(path)
    metadata = _parse(staged)
    with editing(home, _online(home)) as repository:
        _check_versions(repository, metadata)
        _check_signatures(repository.root(), metadata)
        new, gone = _differences(repository, metadata)
        if len(new) > 1:
            raise BadInput("More than one release is new in this; stage them one after the other.")
        if new:
            manifest, files = _placed(home, metadata[new[0][0]].signed, *new[0])
            make_visible(home, session, repository, manifest, staged.run_id, files, signed=metadata)
        else:
            repository.commit(signed=metadata)
        for organ, number in gone:
            forget_files(home, organ, number)
            note(session, Action.WITHDREW, f"{organ}/{number}")
        if not new and not gone:
            note(session, Action.RENEWED, "targets")
        session.commit()
    published = [f"Published {organ}/{number}." for organ, number in new]
    withdrawn = [f"Withdrew {organ}/{number}." for organ, number in gone]
    return [*published, *withdrawn] or ["Renewed; no release came or went."]


def _differences(
    repository: Repository, metadata: dict[str, Metadata[Targets]]
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the releases that the metadata adds to what is visible now, and those that it takes away."""

    def releases(targets: dict[str, Targets]) -> set[tuple[str, int]]:
        return {(organ, number) for organ, role in targets.items() for number in complete_numbers(role.targets, organ)}

    before = releases({organ: repository.targets(organ) for organ in repository.organs()})
    after = releases({role: signed.signed for role, signed in metadata.items()})
    return sorted(after - before), sorted(before - after)


def _write(repository: Repository, out: Path, *, run_id: str = "") -> Staged:
    drafts = repository.draft()
    staged = Staged(
        run_id=run_id,
        signers={role: _signers(repository.root(), drafts, role) for role in drafts},
        metadata={role: draft.to_dict() for role, draft in drafts.items()},
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
        if staged.signed.version != repository.next_version(role):
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
