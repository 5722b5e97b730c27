"""A backup as one file: a plain tar of regular files, and a manifest at its end that names each with its length and digest.

The manifest is the last member, so that files are read once, and a backup that was cut off has none. Whoever takes files out
believes the manifest only: every member must be in it, be a regular file, and have the length and digest that it names, and is
written under a name that cannot lead out of the folder. An owner's private files are private again when they are taken out.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, BinaryIO, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput, C2lstError, NoSpace
from c2lst_shared.progress import Progress

MANIFEST = "manifest.json"
FORMAT = 1
MAX_FILES = 500_000
MAX_MANIFEST_BYTES = 256 << 20
MAX_HEADER_BYTES = 1 << 20  # of what is read at once, so that a header which claims to be long fills no memory
MAX_NAME = 1000  # characters
CHUNK = 1 << 20
SPARE_BYTES = 100_000_000  # left free on the disk

Kind = Literal["server", "client"]


def _leads_nowhere_else(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not name.isprintable() or "\\" in name or name != "/".join(parts) or name.startswith("/") or ".." in parts:
        raise ValueError("no plain relative path")
    return name


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_leads_nowhere_else)]


class Entry(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name  # relative, with slashes
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    private: bool  # for the owner's eyes only


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kind: Kind
    software: str  # version of c2lst
    made: AwareDatetime
    state: str  # version of what is in it: of the database's tables, or of the state folder
    left_out: list[str] = []  # what was being worked on
    files: Annotated[list[Entry], Field(max_length=MAX_FILES)]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.files)


@dataclass(frozen=True)
class Source:
    """A file that goes into a backup."""

    name: str
    content: Path | bytes
    limit: int | None = None  # only so many bytes of a file that grows
    private: bool | None = None  # for the owner's eyes only; None = as the file is

    @property
    def size(self) -> int:
        """As far as it can be told beforehand."""
        size = len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size
        return size if self.limit is None else min(size, self.limit)


class Writer:
    """Writes a backup to an open file, one file after the other."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self._told = _Kilobytes(progress)
        self._entries: list[Entry] = []

    def add(self, source: Source) -> None:
        """Write one file as it is now.

        Raises:
            BadInput: its name cannot be kept, or it was cut short meanwhile.
            FileNotFoundError: it is not there any more.
        """
        if isinstance(source.content, bytes):
            self._write(source.name, io.BytesIO(source.content), len(source.content), private=source.private is not False)
            return
        with source.content.open("rb") as file:
            found = os.fstat(file.fileno())
            size = found.st_size if source.limit is None else min(found.st_size, source.limit)
            private = not found.st_mode & 0o077 if source.private is None else source.private
            self._write(source.name, file, size, private=private)

    def _write(self, name: str, file: IO[bytes], size: int, *, private: bool) -> None:
        hashing = _Hashing(file, self._told)
        try:
            entry = Entry(name=name, bytes=size, sha256="0" * 64, private=private)
        except ValidationError:
            raise BadInput(f"The file {name!r} has a name that a backup cannot keep; rename or remove it.") from None
        try:
            self._tar.addfile(_member(name, size, private), hashing)
        except tarfile.TarError:
            raise BadInput(f"{name} became shorter while it was read; run the backup again.") from None
        self._entries.append(entry.model_copy(update={"sha256": hashing.sha256}))

    def finish(self, kind: Kind, state: str, left_out: Iterable[str] = ()) -> Manifest:
        """Write the manifest and return it."""
        manifest = Manifest(
            kind=kind,
            software=version("c2lst"),
            made=datetime.now(UTC).replace(microsecond=0),
            state=state,
            left_out=sorted(left_out),
            files=self._entries,
        )
        content = manifest.model_dump_json(indent=1).encode()
        self._tar.addfile(_member(MANIFEST, len(content), private=True), io.BytesIO(content))
        self._tar.close()
        return manifest


@contextmanager
def writing(out: Path, progress: Progress) -> Iterator[Writer]:
    """Give a writer of a backup that is at `out` when the body has ended well, readable by the owner only.

    Raises:
        BadInput: there is something at `out`, or it cannot be written.
        NoSpace: the disk is full.
    """
    if out.exists():
        raise BadInput(f"{out} is there already; a backup replaces nothing: choose another name.")
    with _disk(out), atomic.replacing(out, mode=0o600) as temporary, temporary.open("wb") as file:
        yield Writer(file, progress)


class Archive:
    """A backup that is there, opened for reading.

    Raises:
        BadInput: there is no such file, it is of another kind, or a newer version of c2lst made it.
        BadArtefact: it is no backup, or was cut off or changed.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BadInput(f"The backup {path} cannot be read: {error.strerror}; check the path.") from error
        try:
            with _damage(path):
                self._tar = tarfile.TarFile(fileobj=_Bounded(self._file), mode="r")
                self._members = self._list()
                self.manifest = self._read_manifest()
            self._check(kind)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def extract(self, folder: Path, progress: Progress, *, below: str = "") -> None:
        """Write the files whose names begin with `below` into an empty folder, without that beginning.

        Raises:
            BadArtefact: one is not what the manifest says; what was written is of no use.
            NoSpace: the disk is too small.
        """
        chosen = [entry for entry in self.manifest.files if entry.name.startswith(below)]
        needed, free = sum(entry.bytes for entry in chosen), shutil.disk_usage(folder).free
        if free < needed + SPARE_BYTES:
            raise NoSpace(
                f"The backup needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB; make room and run again."
            )
        told = _Kilobytes(progress)
        with _damage(self.path), _disk(folder):
            for entry in chosen:
                self._extract_one(entry, folder / entry.name.removeprefix(below), told)

    def _extract_one(self, entry: Entry, target: Path, told: _Kilobytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.private and target.parent.stat().st_mode & 0o077:
            target.parent.chmod(0o700)
        content = self._tar.extractfile(self._members[entry.name])
        if content is None:
            raise BadArtefact(f"{entry.name} in {self.path} is no file; refused.")
        mode = 0o600 if entry.private else 0o644
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as out:
            hashing = _Hashing(content, told)
            shutil.copyfileobj(hashing, out, CHUNK)
            os.fsync(out.fileno())
        if hashing.sha256 != entry.sha256:
            raise BadArtefact(f"{entry.name} in {self.path} is not what was backed up; use another backup.")

    def _list(self) -> dict[str, tarfile.TarInfo]:
        members: dict[str, tarfile.TarInfo] = {}
        for member in self._tar:
            if not member.isreg() or member.issparse() or member.name in members or len(members) > MAX_FILES:
                raise BadArtefact(f"{self.path} is not a backup made by c2lst: {member.name!r} does not belong in it; refused.")
            members[member.name] = member
        return members

    def _read_manifest(self) -> Manifest:
        member = self._members.pop(MANIFEST, None)
        content = self._tar.extractfile(member) if member is not None and member.size <= MAX_MANIFEST_BYTES else None
        if content is None:
            raise BadArtefact(f"{self.path} is not a whole backup: it has no manifest; copy it again or use another one.")
        text = b"".join(iter(lambda: content.read(CHUNK), b""))
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            raise self._not_understood(text) from error

    def _not_understood(self, text: bytes) -> C2lstError:
        class Format(BaseModel):
            format: int

        try:
            found = Format.model_validate_json(text).format
        except ValidationError:
            found = FORMAT
        if found > FORMAT:
            return BadInput(
                f"A newer version of c2lst made the backup {self.path} (format {found}); restore it with that version."
            )
        return BadArtefact(f"The manifest of {self.path} is damaged; use another backup.")

    def _check(self, kind: Kind) -> None:
        if self.manifest.kind != kind:
            raise BadInput(
                f"{self.path} is the backup of a {self.manifest.kind}; restore it with `c2lst-{self.manifest.kind}`."
            )
        named = {entry.name: entry.bytes for entry in self.manifest.files}
        found = {name: member.size for name, member in self._members.items()}
        if named != found or len(named) != len(self.manifest.files):
            raise BadArtefact(f"Files and manifest of {self.path} do not fit together; use another backup.")
        folders = {str(parent) for name in named for parent in PurePosixPath(name).parents}
        if folders & named.keys():
            raise BadArtefact(f"{self.path} has a file where it has a folder; use another backup.")


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted; what begins with a dot is a lock or temporary. Links are followed, once each."""
    seen = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        if (real := place.resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (place / each for each in sorted(files) if not each.startswith(".") and (place / each).is_file())


def kilobytes(count: int) -> int:
    """Return in how many kilobytes so many bytes are told."""
    return -(-count // 1000)


def _member(name: str, size: int, private: bool) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # no owner: whoever restores it owns it
    member.size, member.mode = size, 0o600 if private else 0o644
    return member


class _Kilobytes:
    """Tells a progress of bytes, in kilobytes."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._bytes = progress, 0

    def __call__(self, count: int) -> None:
        before = kilobytes(self._bytes)
        self._bytes += count
        self._progress.advance(kilobytes(self._bytes) - before)


class _Hashing(io.RawIOBase):
    """Reads from a file and remembers the digest of what was read."""

    def __init__(self, file: IO[bytes] | io.BytesIO, told: _Kilobytes) -> None:
        self._file, self._told, self._digest = file, told, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what was read so far."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read as the file does."""
        content = self._file.read(size)
        self._digest.update(content)
        self._told(len(content))
        return content


class _Bounded(io.RawIOBase):
    """A file of which nobody reads much at once: tarfile holds extended headers in memory, however long they say they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go where the file goes."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Say where the file is."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read as the file does, a little."""
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        return self._file.read(size)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise BadArtefact(f"{path} is not a whole backup ({error}); copy it again or use another one.") from error


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"There is no room left at {path}; make room and run again.") from error
        raise BadInput(f"{path} cannot be written: {error.strerror}; choose another place.") from error
