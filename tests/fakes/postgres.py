"""A PostgreSQL of the tests' own, from the programs on this machine: on a socket in a temporary folder, gone afterwards.

C2LST_TEST_POSTGRES names the folder of the programs where they are not found; "none" leaves the tests out that need them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

OWNERS = ("postgres", "nobody")  # who runs it when the tests run as root, which PostgreSQL refuses
SMALL = ("shared_buffers=16MB", "max_connections=40")
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", *SMALL)  # nothing has to outlive a crash


class Postgres:
    """A server; databases are made in it one by one. It may be stopped and started again, at the same place."""

    def __init__(self, folder: Path, programs: Path, owner: str | None, settings: Sequence[str]) -> None:
        self._folder, self._programs, self._owner, self._settings = folder, programs, owner, settings
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        data, log = self._folder / "data", self._folder / "log"
        command = [self._programs / "postgres", "-D", data, "-k", self._folder, "-c", "listen_addresses="]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *itertools.chain.from_iterable(("-c", setting) for setting in self._settings)],
                stdout=output,
                stderr=output,
                user=self._owner,
                cwd=self._folder,
            )
        deadline = time.monotonic() + 60
        while subprocess.run([self._programs / "pg_isready", "-q", "-h", self._folder], capture_output=True).returncode:
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it without waiting for connections; with SIGQUIT as a crash would, so that it recovers from its log."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(60)

    def url(self, name: str) -> str:
        """Return what C2LST_SERVER_DATABASE_URL would say."""
        return f"postgresql+psycopg://c2lst@/{name}?host={self._folder}"

    def new(self, *, like: str | None = None) -> str:
        """Make a database, a copy of the one at the URL `like` when there is one, and return its URL."""
        name = f"test_{next(self._numbers)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {_name(like) if like else 'template0'} STRATEGY file_copy")
        return self.url(name)

    def make(self, url: str) -> None:
        """Make the empty database of this URL."""
        self._do(f"CREATE DATABASE {_name(url)} TEMPLATE template0 STRATEGY file_copy")

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._do(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def _do(self, statement: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


def _name(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def postgres(settings: Sequence[str] = SETTINGS) -> Iterator[Postgres]:
    """Run a server for the body."""
    programs = _programs()
    # not in pytest's folder: a socket's path has 107 characters at most
    folder = Path(tempfile.mkdtemp(prefix="c2lst-pg-", dir=_memory()))
    try:
        owner = _owner()
        if owner is not None:
            shutil.chown(folder, owner)
        made = subprocess.run(
            [
                programs / "initdb",
                "-D",
                folder / "data",
                "-U",
                "c2lst",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ],
            capture_output=True,
            text=True,
            user=owner,
            cwd=folder,
        )
        assert made.returncode == 0, made.stderr
        server = Postgres(folder, programs, owner, settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _memory() -> Path | None:
    """Return a file system in memory with some room, where copying a database takes a tenth of the time."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30 else None


def _owner() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(owner for owner in OWNERS if owner in names)


def _programs() -> Path:
    """Return the folder of initdb and postgres; without them the tests fail, unless they were said to be left out."""
    said = os.environ.get("C2LST_TEST_POSTGRES")
    if said == "none":
        pytest.skip("C2LST_TEST_POSTGRES=none")
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.partition(".")[0]))
    places = [Path(said)] if said else [*([Path(on_path).resolve().parent] if on_path else []), *reversed(installed)]
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.fail(
        "PostgreSQL is not installed, and these tests are about it: `apt-get install postgresql`, or name the folder of its "
        "programs in C2LST_TEST_POSTGRES; C2LST_TEST_POSTGRES=none leaves these tests out."
    )
