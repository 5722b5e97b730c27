"""One process at a time in a folder: two that write the same run or site would spoil each other's work."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from c2lst_shared.errors import Busy

WAIT_SECONDS = 5.0  # a process that was told to stop needs a moment to save


@contextmanager
def locked(path: Path, message: str, *, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock file `path` for the body; the system releases it when the process ends, however it ends.

    Args:
        path: of the lock file; its folder is made when missing.
        message: what the user is told when another process holds it.
        wait: seconds to wait for the other process.

    Raises:
        Busy: another process holds it for longer than that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=wait):
            yield
    except Timeout:
        raise Busy(message) from None


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Say, for the body, that a folder is being used; any number of processes may, and each waits while `unused` holds it."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def unused(path: Path, message: str) -> Iterator[None]:
    """Hold a folder that nobody uses for the body.

    Raises:
        Busy: some process says that it uses it.
    """
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(message) from None
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # which lets go of it, as the end of the process would
