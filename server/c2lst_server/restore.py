"""`c2lst-server restore`: a home and its database as they were when a backup was made, ready to be served.

Sites that saw newer metadata than that in the backup would refuse it. So it is signed anew, by the online keys, with versions
that are higher than any that were given (`publishing/least_version.py`). What needs the root and targets keys stays as it was:
releases that were published after the backup are gone, and sites that saw them refuse until somebody with these keys publishes
again or says by `renew` that this is the state now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel
from sqlalchemy import Engine

from c2lst_server.backup import DATABASE, HOME
from c2lst_server.db.dump import clear, is_empty, load
from c2lst_server.db.session import changing, connect, revisions, sentences, shown
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.least_version import go_on_from
from c2lst_server.publishing.repository import editing
from c2lst_server.settings import Settings
from c2lst_shared.archive import Archive, kilobytes
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.locking import locked, unused
from c2lst_shared.progress import Progress, Silent
from c2lst_shared.restoring import Restoring, restoring


class Restored(BaseModel):
    """What was restored."""

    home: Path
    made: AwareDatetime  # when the backup was
    files: int
    bytes: int
    releases: list[str]
    before: Path | None  # where what was in the home is now
    migrated_from: str | None  # the version of the tables in the backup, when it was an older one
    not_signed: str | None  # why the metadata could not be signed anew, and what to do


def restore(settings: Settings, path: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Restored:
    """Put the backup at `path` into the home and the database of the settings.

    Raises:
        BadInput: home or database are not empty and `overwrite` is not set; or a newer version of c2lst made the backup.
        BadArtefact: the backup is not whole, or not what was written; nothing was changed.
        Busy: the home is being served.
        NoSpace: the disk is too small.
        C2lstError: the database cannot be reached.
    """
    home, progress = settings.folders, progress or Silent()
    with Archive(path, "server") as archive:
        manifest = archive.manifest
        if manifest.state not in revisions():
            raise BadInput(
                f"c2lst {manifest.software} made the backup {path}, with tables of version {manifest.state}, and this version "
                f"knows them up to {revisions()[-1]}; install the newer one and restore with it."
            )
        with restoring(home.path, overwrite=overwrite) as place, _not_served(home):
            progress.start("restoring (kB)", kilobytes(manifest.bytes))
            archive.extract(place.scratch, progress, below=DATABASE)
            archive.extract(place.content, progress, below=HOME)
            draft = Home(place.content)
            draft.check_initialised()
            go_on_from(draft, datetime.now(UTC))
            not_signed = _sign_anew(draft)
            _fill_database(settings, place, manifest.state, overwrite=overwrite)
            place.put_in_place(last=home.metadata.parent.name)
    return Restored(
        home=home.path,
        made=manifest.made,
        files=len(manifest.files),
        bytes=manifest.bytes,
        releases=[f"{release.organ}/{release.number}" for release in read_catalogue(home).releases],
        before=place.before,
        migrated_from=manifest.state if manifest.state != revisions()[-1] else None,
        not_signed=not_signed,
    )


@contextmanager
def _not_served(home: Home) -> Iterator[None]:
    """Hold the home for the body.

    Raises:
        Busy: the service or SuperLink runs, or something is being published.
    """
    with ExitStack() as held:
        held.enter_context(unused(home.in_use, f"`c2lst-server serve` runs in {home.path}; stop it, then restore."))
        if home.superlink.exists():
            message = f"`c2lst-server superlink` runs in {home.path}; stop it, then restore."
            held.enter_context(locked(home.superlink / ".lock", message, wait=0))
        if home.metadata.parent.exists():
            held.enter_context(locked(home.publishing_lock, f"{home.metadata} is being changed; wait, then restore."))
        yield


def _sign_anew(draft: Home) -> str | None:
    """Sign snapshot and timestamp with versions that nobody has seen; return why that is not possible, if it is not."""
    try:
        with editing(draft, Keyring(draft.keys, str)) as repository:
            repository.commit(renew_snapshot=True)
    except (BadArtefact, BadInput) as error:
        return str(error)
    return None


def _fill_database(settings: Settings, place: Restoring, revision: str, *, overwrite: bool) -> None:
    engine = _engine(settings, place)
    try:
        with sentences(engine, "cannot be restored"), changing(engine) as connection:
            if not is_empty(connection):
                if not overwrite:
                    raise BadInput(
                        f"The database {shown(engine)} has tables of c2lst already; pass --overwrite to replace them, or set "
                        "C2LST_SERVER_DATABASE_URL to an empty one."
                    )
                clear(connection)
            load(connection, place.scratch, revision)
    finally:
        engine.dispose()


def _engine(settings: Settings, place: Restoring) -> Engine:
    """Return an engine for the database that is to be filled: where it is, or beside what is prepared if it is in the home."""
    engine = connect(settings, foreign_keys=False)
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and Path(file).absolute().is_relative_to(place.folder):
        engine.dispose()
        prepared = place.content / Path(file).absolute().relative_to(place.folder)
        prepared.parent.mkdir(parents=True, exist_ok=True)
        return connect(settings.model_copy(update={"database_url": f"sqlite:///{prepared}"}), foreign_keys=False)
    return engine
