"""Fetch signed files: what was begun goes on, what breaks off is tried again, and nothing counts before it is verified.

A file comes into `NAME.DIGEST.part` and gets its name when it has the signed length and digest. The digest in the name keeps
what was begun of one file from being continued with another.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Protocol

import httpx
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from c2lst_client.egress import HttpStatus, Sink
from c2lst_shared.errors import BadArtefact, BadInput, NoSpace, TransferFailed

TEMPORARY = {httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS}  # and every 5xx
BATCH_BYTES = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Patience:
    """How often a transfer that fails is tried again, and after which wait."""

    attempts: int = 5  # in a row that bring nothing
    first_wait: float = 1.0  # seconds; doubles with each attempt
    longest_wait: float = 30.0  # seconds

    def keep_trying(
        self, work: Callable[[], None], *, came: Callable[[], int] = lambda: 0, on_trouble: Callable[[str], None]
    ) -> None:
        """Do `work` until it succeeds or fails for good.

        Args:
            work: may raise TransferFailed.
            came: how much has come so far; attempts that brought something do not count as failed.
            on_trouble: is told before each wait.

        Raises:
            TransferFailed: the last failure.
        """
        failed = 0
        while True:
            before = came()
            try:
                return work()
            except TransferFailed as error:
                failed = 1 if came() > before else failed + 1
                if failed >= self.attempts or not is_temporary(error):
                    raise
                asked = error.wait if isinstance(error, HttpStatus) else 0.0
            wait = asked + min(self.first_wait * 2 ** (failed - 1), self.longest_wait)
            on_trouble(f"connection lost, again in {wait:.0f} s")
            # sites that lost a server do not come back as one
            time.sleep(asked + (wait - asked) * secrets.SystemRandom().uniform(0.5, 1.0))


def is_temporary(error: TransferFailed) -> bool:
    """Whether the same request may succeed a little later."""
    return not isinstance(error, HttpStatus) or error.status in TEMPORARY or error.status >= 500


class Source(Protocol):
    """Where signed files come from: the enrolled server, or a bundle in its place."""

    def download(self, path: str, *, limit: int) -> Iterator[bytes]:
        """Yield what is at the server's `path`, at most `limit` bytes."""

    def continue_download(self, path: str, sink: Sink, *, length: int) -> None:
        """Bring what `sink` lacks of the `length` bytes at the server's `path`."""


class Part:
    """What has come of one file: its bytes in `file`, and their digest, which grows with them so that nothing is read twice.

    A thread writes and hashes one batch while the next comes in; at the end of the `with` all that came is in the file.
    """

    def __init__(self, file: FileIO, on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._on_bytes = on_bytes
        file.seek(0)
        self._digest = hashlib.file_digest(file, "sha256")
        self.held = file.tell()
        self._batch = bytearray()
        self._worker = ThreadPoolExecutor(1)
        self._working: Future[None] | None = None

    def __enter__(self) -> Part:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._worker:
            self._settle()

    def write(self, chunk: bytes) -> None:
        """Append the next bytes."""
        self._batch += chunk
        self.held += len(chunk)
        if len(self._batch) >= BATCH_BYTES:
            self._hand_over()
        self._on_bytes(len(chunk))

    def restart(self) -> None:
        """Give up what came."""
        self._settle()
        self._on_bytes(-self.held)
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.held = 0

    def verify(self, info: TargetFile) -> None:
        """Check that this is the signed file, and bring it to the disk.

        Raises:
            LengthOrHashMismatchError: it is not.
        """
        self._settle()
        if (self.held, self._digest.hexdigest()) != (info.length, info.hashes["sha256"]):
            raise LengthOrHashMismatchError(f"{info.path}: length or SHA-256 are not the signed ones")
        os.fsync(self._file.fileno())

    def _hand_over(self) -> None:
        self._wait()
        batch, self._batch = self._batch, bytearray()
        self._working = self._worker.submit(self._keep, batch)

    def _keep(self, batch: bytearray) -> None:
        left = memoryview(batch)
        while left:
            left = left[self._file.write(left) :]
        self._digest.update(batch)

    def _wait(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.result()

    def _settle(self) -> None:
        """Bring all that came into the file."""
        self._hand_over()
        self._wait()


@dataclass(frozen=True)
class Transfer:
    """Brings signed files from a source to this disk."""

    source: Source
    patience: Patience
    on_bytes: Callable[[int], None]  # how many came or, negative, were given up
    on_trouble: Callable[[str], None]

    def fetch(self, address: str, info: TargetFile, path: Path) -> None:
        """Bring the signed file that is at `address` to `path`, going on with what an earlier call left.

        Raises:
            TransferFailed: the server cannot be reached, again and again; what came is kept.
            LengthOrHashMismatchError, BadArtefact: it is not what was signed; nothing of it is kept.
        """
        if _is_signed(path, info):
            self.on_bytes(info.length)
            return
        part = path.with_name(f"{path.name}.{info.hashes['sha256'][:16]}.part")
        continued = part.is_file() and 0 < part.stat().st_size <= info.length
        if not continued:
            part.unlink(missing_ok=True)
        self.on_bytes(part.stat().st_size if continued else 0)
        try:
            self._complete(address, info, part)
        except (LengthOrHashMismatchError, BadArtefact):
            if not continued:
                raise
            self.on_bytes(-info.length)  # what was here was spoilt on this disk, or by a server that has mended itself since
            self._complete(address, info, part)
        part.replace(path)

    def _complete(self, address: str, info: TargetFile, path: Path) -> None:
        """Bring what is missing of `path` and verify all of it; what is not the signed file is removed."""
        try:
            with path.open("a+b", buffering=0) as file, Part(file, self.on_bytes) as part:

                def go_on() -> None:
                    if part.held < info.length:
                        self.source.continue_download(address, part, length=info.length)

                self.patience.keep_trying(go_on, came=lambda: part.held, on_trouble=self.on_trouble)
                part.verify(info)
        except (LengthOrHashMismatchError, BadArtefact):
            path.unlink()
            raise


def begun(folder: Path) -> int:
    """Return how many bytes an earlier call left in `folder`."""
    return sum(path.stat().st_size for path in folder.iterdir())


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Raise BadInput, in one sentence, where the disk of `folder` cannot take more."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(f"The disk of {folder} is full; make room and run again, it goes on where it was.") from error
        if error.errno in CLOSED:
            raise BadInput(f"{folder} cannot be written ({error.strerror}); check its owner and how it is mounted.") from error
        raise


def _is_signed(path: Path, info: TargetFile) -> bool:
    try:
        with path.open("rb") as content:
            info.verify_length_and_hashes(content)
    except (FileNotFoundError, LengthOrHashMismatchError):
        return False
    return True
