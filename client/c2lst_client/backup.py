"""`c2lst-client backup` and `restore`: the state folder in one file and back; the file stays at the institution.

Everything is in it but what `join` and `console` make again (logs and keys of the link, the console's token and sessions) and
what lies elsewhere: the slides and counts that `site add` names. It can be made while a worker or `join` runs: what is being
worked on at that moment is left out and named, as half of a step is worth nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from pydantic import AwareDatetime, BaseModel

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.trust import pinned
from c2lst_shared import locking
from c2lst_shared.archive import Archive, Source, Writer, files_below, kilobytes, writing
from c2lst_shared.errors import BadInput, Busy
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.restoring import BEFORE, restoring

STATE = 1  # version of the state folder; raised when an older client could not use it
WAIT_SECONDS = 60.0  # for a command that enrols or pulls


class BackedUp(BaseModel):
    """What is in a backup that was made."""

    out: Path
    made: AwareDatetime
    files: int
    bytes: int
    left_out: list[str]  # sites and rounds that were being worked on


class Restored(BaseModel):
    """What was restored."""

    home: Path
    made: AwareDatetime  # when the backup was
    files: int
    bytes: int
    left_out: list[str]  # of the backup, when it was made
    before: Path | None  # where what was in the home is now


def back_up(home: Home, out: Path, progress: Progress | None = None) -> BackedUp:
    """Write the state folder to `out`.

    Raises:
        BadInput: there is nothing to back up, or `out` cannot be written.
        Busy: another command enrols or pulls for more than a minute.
        NoSpace: the disk is full.
    """
    progress = progress or Silent()
    if not home.path.is_dir() or not list(_plain(home)):
        raise BadInput(f"There is nothing in {home.path} to back up; pass the right --home.")
    left_out = []
    with writing(out, progress) as writer, tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".backup-") as scratch:
        progress.start("backing up (kB)", kilobytes(sum(map(_size, _all(home)))))
        with pinned.locked(home, wait=WAIT_SECONDS):
            for path in _plain(home):
                _add(writer, home, path)
        _add_audit_log(writer, home)
        _add_queue(writer, home, Path(scratch) / home.round_queue.name)
        for folder in _workplaces(home):
            try:
                with locking.locked(folder / ".lock", "", wait=0):
                    for path in files_below(folder):
                        _add(writer, home, path)
            except Busy:
                left_out.append(folder.relative_to(home.path).as_posix())
        manifest = writer.finish("client", str(STATE), left_out)
    return BackedUp(out=out, made=manifest.made, files=len(manifest.files), bytes=manifest.bytes, left_out=manifest.left_out)


def restore(home: Home, path: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Restored:
    """Put the backup at `path` into the state folder.

    Raises:
        BadInput: the folder is not empty and `overwrite` is not set, or a newer version of c2lst made the backup.
        BadArtefact: the backup is not whole, or not what was written; nothing was changed.
        Busy: something works in the folder.
        NoSpace: the disk is too small.
    """
    progress = progress or Silent()
    with Archive(path, "client") as archive:
        manifest = archive.manifest
        if manifest.state != str(STATE):
            raise BadInput(
                f"c2lst {manifest.software} made the backup {path}, of a state folder of version {manifest.state}, and this "
                f"version knows {STATE}; install the newer one and restore with it."
            )
        with restoring(home.path, overwrite=overwrite) as place, _not_used(home):
            progress.start("restoring (kB)", kilobytes(manifest.bytes))
            archive.extract(place.content, progress)
            place.put_in_place(last=home.enrolment.name)
    return Restored(
        home=home.path,
        made=manifest.made,
        files=len(manifest.files),
        bytes=manifest.bytes,
        left_out=manifest.left_out,
        before=place.before,
    )


def _plain(home: Home) -> Iterator[Path]:
    """Yield the files that no worker works on."""
    apart = {home.federation, home.audit_log, home.path / "sites", home.rounds, home.console}
    for path in sorted(home.path.iterdir()):
        if path in apart or path.name.startswith((".", BEFORE)) or path.suffix == ".lock":
            continue
        yield from files_below(path) if path.is_dir() else [path]


def _workplaces(home: Home) -> list[Path]:
    """Return the folders that one process at a time works in."""
    return [
        folder
        for parent in (home.path / "sites", home.rounds)
        if parent.is_dir()
        for folder in sorted(parent.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    ]


def _all(home: Home) -> Iterator[Path]:
    yield from _plain(home)
    yield home.audit_log
    yield home.round_queue
    for folder in _workplaces(home):
        yield from files_below(folder)


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _add(writer: Writer, home: Home, path: Path, content: Path | None = None, limit: int | None = None) -> None:
    name = path.relative_to(home.path).as_posix()
    try:
        writer.add(Source(name, content or path, limit=limit))
    except FileNotFoundError as error:
        raise BadInput(f"{path} was removed while the backup was made; run the backup again.") from error


def _add_audit_log(writer: Writer, home: Home) -> None:
    """Add the lines that are there now: others may be added meanwhile, and none is ever changed."""
    if home.audit_log.exists():
        with FileLock(f"{home.audit_log}.lock"):
            size = home.audit_log.stat().st_size
        _add(writer, home, home.audit_log, limit=size)


def _add_queue(writer: Writer, home: Home, copy: Path) -> None:
    if home.round_queue.exists():
        JobQueue(home.round_queue).copy_to(copy)
        _add(writer, home, home.round_queue, copy)


@contextmanager
def _not_used(home: Home) -> Iterator[None]:
    """Hold the state folder for the body.

    Raises:
        Busy: `join`, a worker or another command works in it.
    """
    with ExitStack() as held:
        if home.federation.exists():
            message = f"`c2lst-client join` runs in {home.path}; stop it, then restore."
            held.enter_context(locking.locked(home.federation / ".lock", message, wait=0))
        if home.trust_lock.parent.exists():
            held.enter_context(pinned.locked(home))
        for folder in _workplaces(home):
            message = f"Another c2lst command is working in {folder}; stop it, then restore."
            held.enter_context(locking.locked(folder / ".lock", message, wait=0))
        yield
