"""`c2lst-server backup`: what cannot be made again, in one file, while the service runs.

In it are the database, the signed metadata with the files of the releases, what training runs left behind, and the online
keys. Not in it are the root and targets keys, which belong on other media; corpora and checkpoints of training; and the folder
of SuperLink, which is made again from the database.

For a moment nothing is published: in it the database is read as of one point in time, and the metadata with it. The files
of the releases never change and are copied afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import AwareDatetime, BaseModel
from sqlalchemy import Engine, select

from c2lst_server.db.dump import dump
from c2lst_server.db.models import Release
from c2lst_server.db.session import connect
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import signed_targets
from c2lst_server.publishing.keys import POLICY, Keyring, key_files
from c2lst_server.publishing.repository import Repository, editing
from c2lst_server.runs import CHECKPOINT, CORPUS, run_ids
from c2lst_server.settings import Settings
from c2lst_shared.archive import Source, files_below, kilobytes, writing
from c2lst_shared.errors import BadInput
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.release.manifest import WEIGHTS
from c2lst_shared.release.targets import complete_numbers

DATABASE, HOME = "database/", "home/"  # where they are in a backup


class BackedUp(BaseModel):
    """What is in a backup that was made."""

    out: Path
    made: AwareDatetime
    files: int
    bytes: int
    releases: list[str]
    runs: list[str]


def back_up(settings: Settings, out: Path, progress: Progress | None = None) -> BackedUp:
    """Write a backup to `out`.

    Raises:
        BadInput: the home is not initialised, `out` cannot be written, or a release was withdrawn while its files were copied.
        Busy: something is being published for more than a minute.
        C2lstError: the database cannot be reached.
        NoSpace: the disk is full.
    """
    home, progress = settings.folders, progress or Silent()
    home.check_initialised()
    engine, runs = connect(settings), run_ids(home)
    try:
        with (
            writing(out, progress) as writer,
            tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".backup-") as rows,
        ):
            with editing(home, Keyring(home.keys, str)) as repository:
                revision, tables = dump(engine, Path(rows))
                sources = [Source(f"{DATABASE}{path.name}", path, private=True) for path in tables]
                sources += [_kept(home, path, private=False) for path in files_below(home.metadata)]
                sources += [_kept(home, path, private=True) for path in _online_keys(home)]
                sources += [Source(_name(home, path), path) for path in files_below(home.targets)]
                visible = _visible(home, repository, engine)
            for run in runs:
                sources += [Source(_name(home, path), path) for path in _run_files(home.run(run), published=run in visible)]
            progress.start("backing up (kB)", kilobytes(sum(map(_size, sources))))
            for source in sources:
                try:
                    writer.add(source)
                except FileNotFoundError as error:
                    raise BadInput(f"{source.name} was removed while the backup was made; run the backup again.") from error
            manifest = writer.finish("server", revision)
    finally:
        engine.dispose()
    return BackedUp(
        out=out,
        made=manifest.made,
        files=len(manifest.files),
        bytes=manifest.bytes,
        releases=sorted(visible.values()),
        runs=runs,
    )


def _kept(home: Home, path: Path, *, private: bool) -> Source:
    """Read a small file now, while nobody changes it."""
    return Source(_name(home, path), path.read_bytes(), private=private)


def _name(home: Home, path: Path) -> str:
    return f"{HOME}{path.relative_to(home.path).as_posix()}"


def _size(source: Source) -> int:
    with suppress(FileNotFoundError):  # which is told when its turn comes
        return source.size
    return 0


def _online_keys(home: Home) -> list[Path]:
    """Return the keys of the service itself, by their names: whatever else lies in the folder stays there."""
    online = [role for role, policy in POLICY.items() if not policy.encrypted]
    return [path for role in online for path in key_files(home.keys, role) if path.exists()]


def _visible(home: Home, repository: Repository, engine: Engine) -> dict[str, str]:
    """Return the runs whose releases are served, with the names of those releases."""
    served = {
        (organ, number) for organ in repository.organs() for number in complete_numbers(signed_targets(home, organ), organ)
    }
    with engine.connect() as connection:
        rows = connection.execute(select(Release.run_id, Release.organ, Release.number)).all()
    return {run_id: f"{organ}/{number}" for run_id, organ, number in rows if (organ, number) in served}


def _run_files(folder: Path, *, published: bool) -> Iterator[Path]:
    """Yield what a run left behind, without what can be made again; weights that are served are among the targets."""
    for path in files_below(folder):
        first = path.relative_to(folder).parts[0]
        if first not in {CORPUS, CHECKPOINT} and not (published and first == WEIGHTS):
            yield path
