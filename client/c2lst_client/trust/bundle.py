"""The way in without a network: one file with a release and the signed metadata that vouches for it.

A bundle is a plain tar whose members are called as the server's paths are (`tuf/metadata/timestamp.json` ...). It is never
unpacked: a pull asks it for the paths that it would ask the server for, and verifies what comes in the same way. Only the
headers of regular files are read, a few hundred at most, so that neither links, nor paths that climb, nor extended headers
that swell in memory mean anything.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import httpx
from tuf.api.metadata import Metadata, Snapshot, Timestamp

from c2lst_client.egress import HttpStatus, Sink
from c2lst_client.home import Home
from c2lst_client.trust.pinned import load_enrolment, read_pinned_root
from c2lst_client.trust.refusals import refusals
from c2lst_client.trust.signed import signed_targets
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.targets import FILES, SERVED_METADATA, SERVED_TARGETS, served_path, split_release, target_path

METADATA = SERVED_METADATA.lstrip("/")
TARGETS = SERVED_TARGETS.lstrip("/")
MAX_MEMBERS = 400  # a release has three files and a handful of metadata; the rest is room for many roots
BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20


class _Member(NamedTuple):
    offset: int
    size: int


class Bundle:
    """A bundle in place of the server: answers what `Egress` answers.

    Raises:
        BadInput: there is no such file.
        BadArtefact: it is no bundle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BadInput(f"The bundle {path} cannot be read: {error.strerror}; check the path.") from error
        try:
            self._members = dict(_members(self._file, path))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def releases(self) -> list[str]:
        """Return the names of the releases that are in it, for example `mob/1`; nothing is verified yet."""
        folders = {name.removeprefix(TARGETS).rpartition("/")[0] for name in self._members if name.startswith(TARGETS)}
        return sorted(folders)

    def download(self, path: str, *, limit: int) -> Iterator[bytes]:
        """Yield what is stored under the server's `path`.

        Raises:
            HttpStatus: it is not there (404).
            BadArtefact: it is longer than `limit` bytes, or cut off.
        """
        member = self._find(path)
        if member.size > limit:
            raise BadArtefact(f"{path} in {self._path} is longer than {limit} bytes, which it may not be; refused.")
        yield from self._read(path, member, 0)

    def continue_download(self, path: str, sink: Sink, *, length: int) -> None:
        """Bring what `sink` lacks of the `length` bytes at `path`.

        Raises:
            HttpStatus, BadArtefact: as `download`; also when it is shorter.
        """
        member = self._find(path)
        if member.size != length:
            raise BadArtefact(f"{path} in {self._path} has {member.size} bytes, not the {length} that were signed; refused.")
        for chunk in self._read(path, member, sink.held):
            sink.write(chunk)

    def _find(self, path: str) -> _Member:
        member = self._members.get(path.lstrip("/"))
        if member is None:
            raise HttpStatus(f"The bundle {self._path} does not hold {path}; ask for a complete one.", httpx.codes.NOT_FOUND)
        return member

    def _read(self, path: str, member: _Member, start: int) -> Iterator[bytes]:
        self._file.seek(member.offset + start)
        left = member.size - start
        while left:
            chunk = self._file.read(min(left, CHUNK))
            if not chunk:
                raise BadArtefact(f"The bundle {self._path} is cut off within {path}; copy it again.")
            left -= len(chunk)
            yield chunk


def export_bundle(home: Home, release: str, out: Path) -> int:
    """Write a pulled release and the metadata that vouches for it to `out`; return its size in bytes.

    Raises:
        BadInput: the release is not here.
        BadArtefact: what is here is not what was signed.
    """
    organ, number = split_release(release)
    enrolment = load_enrolment(home)
    folder = home.release(organ, number)
    if not folder.is_dir():
        raise BadInput(f"{release} is not here; run `c2lst-client pull --organ {organ} --release {number}` first.")
    signed = signed_targets(home, enrolment, organ)
    contents: dict[str, Path] = _metadata(home, organ)
    with refusals():
        for file in FILES:
            info = signed.get(target_path(organ, number, file))
            if info is None:
                raise BadArtefact(f"{release} is not among the signed releases any more; do not pass it on.")
            with (folder / file).open("rb") as content:
                info.verify_length_and_hashes(content)
            contents[TARGETS + served_path(info.path, info.hashes["sha256"])] = folder / file
    read_pinned_root(home, enrolment)
    with atomic.replacing(out) as temporary:
        _write(temporary, contents)
    return out.stat().st_size


def _metadata(home: Home, organ: str) -> dict[str, Path]:
    """Return the server's names of the verified metadata in the cache, and where they lie."""
    cache = home.metadata
    with refusals():
        timestamp = Metadata[Timestamp].from_file(str(cache / "timestamp.json")).signed
        snapshot = Metadata[Snapshot].from_file(str(cache / "snapshot.json")).signed
    found = {f"{METADATA}{path.name}": path for path in (cache / "root_history").glob("*.root.json")}
    found[f"{METADATA}{timestamp.snapshot_meta.version}.snapshot.json"] = cache / "snapshot.json"
    for role in ("targets", organ):
        found[f"{METADATA}{snapshot.meta[f'{role}.json'].version}.{role}.json"] = cache / f"{role}.json"
    return found | {f"{METADATA}timestamp.json": cache / "timestamp.json"}


def _write(path: Path, contents: Mapping[str, Path]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, source in sorted(contents.items()):
            info = tarfile.TarInfo(name)  # no owner, no time: the same release makes the same bundle
            info.size = source.stat().st_size
            with source.open("rb") as content:
                archive.addfile(info, content)


def _members(file: BinaryIO, path: Path) -> Iterator[tuple[str, _Member]]:
    """Read the headers, and nothing but headers."""
    refusal = BadArtefact(f"{path} is not a bundle made by `c2lst-client export-bundle`; refused.")
    for count in range(MAX_MEMBERS + 1):
        header = file.read(BLOCK)
        if header.strip(b"\0") == b"" and (count or header):
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.TarError, UnicodeDecodeError):
            raise refusal from None
        if not info.isreg() or info.size < 0:
            raise refusal
        yield info.name, _Member(file.tell(), info.size)
        file.seek(-(-info.size // BLOCK) * BLOCK, 1)
    raise refusal
