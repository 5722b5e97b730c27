"""Fetch a release, believe nothing of it before it is verified, and verify it again whenever it is loaded.

The signed metadata comes through python-tuf, which knows the rules (rollback, freeze, mix-and-match, key rotation). The
files are fetched here, into a folder beside the final place, which is renamed when all of it is right.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater

from c2lst_client.egress import HttpStatus
from c2lst_client.home import Home
from c2lst_client.trust.bundle import Bundle
from c2lst_client.trust.fetch import Patience, Source, Transfer, begun, is_temporary, writable
from c2lst_client.trust.pinned import Enrolment, load_enrolment, locked, open_egress, read_pinned_root
from c2lst_client.trust.quarantine import set_aside, why_set_aside
from c2lst_client.trust.refusals import refusals
from c2lst_client.trust.seen import check_clock, load_seen, remember
from c2lst_client.trust.signed import signed_organs, signed_targets
from c2lst_shared.errors import BadArtefact, BadInput, NoSpace, TransferFailed
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import MANIFEST, MAX_MANIFEST_BYTES, SAMPLES, WEIGHTS, Manifest, parse_manifest
from c2lst_shared.release.targets import (
    FILES,
    SERVED_METADATA,
    SERVED_TARGETS,
    check_organ,
    complete_numbers,
    served_path,
    target_path,
)
from c2lst_shared.release.weights import check_weights, load_weights
from c2lst_shared.release.withdrawal import Withdrawal, withdrawals

if TYPE_CHECKING:
    import torch

ABSENT = {403, 404}
MAX_METADATA_BYTES = 5_000_000  # python-tuf has its own, lower limits for each role
WAIT_SECONDS = 3600.0  # for a pull that is going on; it may be a large release over a slow line
SPARE_BYTES = 100_000_000  # left free on the disk


@dataclass(frozen=True)
class PulledRelease:
    """A verified release in its place."""

    manifest: Manifest
    folder: Path
    downloaded: bool  # False = it was there already and was verified again


def pull(
    home: Home,
    organ: str,
    number: int | None = None,
    progress: Progress | None = None,
    *,
    bundle: Path | None = None,
    proxy: str | None = None,
    patience: Patience | None = None,
    wait: float = WAIT_SECONDS,
) -> PulledRelease:
    """Fetch and verify a release, the latest one without `number`; one that was begun goes on where it was.

    It comes from the enrolled server or, with `bundle`, from that file, under the same checks. Processes that want the same
    release at once share what the first of them brings: the others wait for it, `wait` seconds at most.

    Raises:
        BadInput: the site is not enrolled, there is no such release or it was withdrawn, the clock was set back, or the disk is
            full or cannot be written.
        BadArtefact: something is not what was signed, or older than what was seen; no release was changed.
        TransferFailed: the server cannot be reached, though it was tried for as long as `patience` says.
        Busy: another pull is still going on.
    """
    check_organ(organ)
    enrolment = load_enrolment(home)
    progress, patience = progress or Silent(), patience or Patience()
    opened = open_egress(home, enrolment, proxy) if bundle is None else Bundle(bundle)
    with locked(home, wait=wait), writable(home.path), opened as source, refusals():
        seen = load_seen(home)
        check_clock(seen)
        patience.keep_trying(lambda: _refresh(home, enrolment, source, organ), on_trouble=_note(progress))
        signed = signed_targets(home, enrolment, organ)
        withdrawn = withdrawals(signed, organ)
        remember(home, seen, organ, max([*complete_numbers(signed, organ), *withdrawn], default=None))
        set_aside(home, organ, withdrawn)
        number = _choose(home, enrolment, signed, organ, number)
        folder = home.release(organ, number)
        if folder.exists():
            try:
                _check_files(folder, signed, organ, number, FILES)
                return PulledRelease(_read_manifest(folder, signed, organ, number), folder, downloaded=False)
            except BadArtefact:
                pass  # damaged since it was pulled: fetched again below, and replaced only by a verified one
        return PulledRelease(_fetch(source, folder, signed, organ, number, progress, patience), folder, downloaded=True)


def load_release(home: Home, organ: str, number: int) -> tuple[Manifest, dict[str, torch.Tensor]]:
    """Return manifest and tensors of a pulled release, verified from the pinned root down to the last value.

    Raises:
        BadInput: the release was not pulled, or was withdrawn.
        BadArtefact: it is not what was signed.
    """
    enrolment = load_enrolment(home)
    folder = home.release(check_organ(organ), number)
    withdrawal = why_set_aside(home, organ, number)
    if withdrawal is not None:
        raise BadInput(f"{organ}/{number} was {withdrawal}. Adapt to another release.")
    if not folder.is_dir():
        raise BadInput(f"{organ}/{number} is not here; run `c2lst-client pull --organ {organ} --release {number}`.")
    signed = signed_targets(home, enrolment, organ)
    _check_files(folder, signed, organ, number, (MANIFEST,))
    manifest = _read_manifest(folder, signed, organ, number)
    return manifest, load_weights(folder / WEIGHTS, manifest.tensors, sha256=manifest.weights_sha256)


def verify_release(home: Home, organ: str, number: int) -> None:
    """Check every file of a pulled release against what was signed, without loading it.

    Raises:
        BadArtefact: one of them is not what was signed.
    """
    _check_files(home.release(organ, number), signed_targets(home, load_enrolment(home), organ), organ, number, FILES)


def newest_here(home: Home, organ: str) -> int | None:
    """Return the highest number of the pulled releases of `organ`, None when none is here."""
    folders = (home.releases / check_organ(organ)).glob("[0-9]*")
    return max((int(folder.name) for folder in folders if folder.name.isdecimal()), default=None)


class _Fetcher(FetcherInterface):
    """Lets python-tuf fetch from our source; its URLs are paths on the enrolled server."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            yield from self._source.download(url, limit=MAX_METADATA_BYTES)
        except HttpStatus as error:
            if error.status in ABSENT:  # by which python-tuf knows that there is no newer root
                raise DownloadHTTPError(str(error), error.status) from error
            raise


def _refresh(home: Home, enrolment: Enrolment, source: Source, organ: str) -> None:
    """Bring the verified metadata on disk up to date, with the role of `organ`."""
    root = read_pinned_root(home, enrolment)
    updater = Updater(str(home.metadata), SERVED_METADATA, fetcher=_Fetcher(source), bootstrap=root)
    updater.refresh()
    updater.get_targetinfo(target_path(organ, 1, MANIFEST))  # any path of the organ makes it load the organ's role


def _choose(home: Home, enrolment: Enrolment, signed: Mapping[str, TargetFile], organ: str, number: int | None) -> int:
    numbers, withdrawn = complete_numbers(signed, organ), withdrawals(signed, organ)
    if number in withdrawn:
        raise BadInput(f"{organ}/{number} was {withdrawn[number]}. Adapt to another release.")
    if not numbers:
        if withdrawn:
            raise BadInput(f"{enrolment.server} has no release for organ {organ!r} any more; {_all(organ, withdrawn)}.")
        organs = ", ".join(signed_organs(home, enrolment)) or "none yet"
        raise BadInput(f"{enrolment.server} has no release for organ {organ!r}; it has: {organs}.")
    if number is not None and number not in numbers:
        known = ", ".join(f"{organ}/{existing}" for existing in numbers)
        raise BadInput(f"{enrolment.server} has no release {organ}/{number}; it has: {known}.")
    return number or numbers[-1]


def _all(organ: str, withdrawn: Mapping[int, Withdrawal]) -> str:
    return "; ".join(f"{organ}/{number} was {withdrawal}" for number, withdrawal in sorted(withdrawn.items()))


def _fetch(
    source: Source,
    folder: Path,
    signed: Mapping[str, TargetFile],
    organ: str,
    number: int,
    progress: Progress,
    patience: Patience,
) -> Manifest:
    infos = {file: signed[target_path(organ, number, file)] for file in FILES}
    if infos[MANIFEST].length > MAX_MANIFEST_BYTES:
        raise BadArtefact(f"The manifest of {organ}/{number} is too long; do not use this release and tell the operator.")
    part = folder.with_name(f".{number}.part")
    part.mkdir(parents=True, exist_ok=True)
    needed = sum(info.length for info in infos.values())
    _check_space(part, needed - begun(part))
    progress.start(f"pulling {organ}/{number} (kB)", _kilobytes(needed))

    transfer = Transfer(source, patience, on_bytes=_Kilobytes(progress), on_trouble=_note(progress))

    def get(file: str) -> None:
        info = infos[file]
        transfer.fetch(SERVED_TARGETS + served_path(info.path, info.hashes["sha256"]), info, part / file)

    try:
        get(MANIFEST)
        manifest = _read_manifest(part, signed, organ, number)  # a wrong one is refused before the weights are fetched
        for file in (SAMPLES, WEIGHTS):
            get(file)
        check_weights(part / WEIGHTS, manifest.tensors)  # its digest was checked as it came
    except (BadArtefact, RepositoryError, TransferFailed) as error:
        if not (isinstance(error, TransferFailed) and is_temporary(error)):
            shutil.rmtree(part)  # only what can be gone on with is kept
        raise
    _put_in_place(part, folder)
    return manifest


class _Kilobytes:
    """Tells a progress of bytes, in kilobytes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bytes = 0

    def __call__(self, count: int) -> None:
        before = _kilobytes(self._bytes)
        self._bytes += count
        self._progress.advance(_kilobytes(self._bytes) - before)


def _note(progress: Progress) -> Callable[[str], None]:
    return lambda note: progress.advance(0, note)


def _check_files(folder: Path, signed: Mapping[str, TargetFile], organ: str, number: int, files: Iterable[str]) -> None:
    """Check that `files` in `folder` are what was signed for this release."""
    for file in files:
        info = signed.get(target_path(organ, number, file))
        if info is None:
            raise BadArtefact(f"{organ}/{number} is not among the signed releases any more; do not use it.")
        if not (folder / file).is_file():
            raise BadArtefact(f"{folder / file} is missing; pull the release again.")
        with refusals(), (folder / file).open("rb") as content:
            info.verify_length_and_hashes(content)


def _read_manifest(folder: Path, signed: Mapping[str, TargetFile], organ: str, number: int) -> Manifest:
    """Return the manifest, whose bytes are verified, when it speaks of this release and of the weights signed for it."""
    manifest = parse_manifest((folder / MANIFEST).read_bytes())
    weights = signed[target_path(organ, number, WEIGHTS)]
    if (manifest.organ, manifest.number) != (organ, number):
        raise BadArtefact(f"The manifest signed for {organ}/{number} is that of {manifest.name}; do not use it.")
    if (manifest.weights_bytes, manifest.weights_sha256) != (weights.length, weights.hashes["sha256"]):
        raise BadArtefact(f"Manifest and signature of {organ}/{number} name different weights; do not use it.")
    return manifest


def _put_in_place(part: Path, folder: Path) -> None:
    """Rename the verified `part` to `folder`; a damaged release that is there makes way."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise NoSpace(f"The release needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB; make room and run again.")


def _kilobytes(count: int) -> int:
    return -(-count // 1000)
