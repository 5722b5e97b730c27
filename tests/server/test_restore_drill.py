"""The drill: a service in its own processes is backed up while it is written to, loses everything, and is restored.

A site that had seen newer metadata than that in the backup goes on, and still refuses old metadata.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fakes.central import PASSPHRASE, Central
from fakes.postgres import Postgres

from c2lst_client.home import Home as SiteHome
from c2lst_client.trust.access import ask_who_we_are
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pinned import load_enrolment, open_egress
from c2lst_client.trust.pull import pull
from c2lst_server.publishing.refresh import refresh_timestamp
from c2lst_shared.errors import BadArtefact

pytestmark = [pytest.mark.both_databases, pytest.mark.slow]


class Service:
    """The commands of one central service, each in a process of its own."""

    def __init__(self, central: Central) -> None:
        self.central = central
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "C2LST_SERVER_HOME": str(central.home.path),
            "C2LST_SERVER_DATABASE_URL": central.settings.database,
            "C2LST_SERVER_PASSPHRASE": PASSPHRASE,
        }

    def command(self, *words: str) -> str:
        words = (sys.executable, "-m", "c2lst_server", *words)
        ended = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextmanager
    def serving(self, *, end: int = signal.SIGTERM) -> Iterator[None]:
        words = (sys.executable, "-m", "c2lst_server", "serve", "--port", str(self.port))
        with subprocess.Popen(words, env=self.environment, stderr=subprocess.PIPE) as process:
            try:
                self._wait(process)
                yield
            finally:
                process.send_signal(end)
                process.communicate(timeout=60)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            try:
                httpx.get(f"{self.url}/healthz", trust_env=False).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return


@pytest.fixture
def service(central: Central) -> Service:
    service = Service(central)
    central.url = service.url
    return service


def lose(central: Central, postgres: Postgres | None) -> None:
    """Home and database are gone; the keys of root and targets are on another medium."""
    central.engine.dispose()
    keys = [path for path in central.home.keys.iterdir() if path.stem.partition("-")[0] in ("root", "targets")]
    medium = central.home.path.with_name("medium")
    medium.mkdir()
    for key in keys:
        shutil.copy(key, medium)
    shutil.rmtree(central.home.path)
    if postgres is not None:
        postgres.drop(central.settings.database)
        postgres.make(central.settings.database)


def test_drill(service: Service, postgres_or_none: Postgres | None, tmp_path: Path) -> None:
    central, site, out = service.central, SiteHome(tmp_path / "site"), tmp_path / "backup.tar"
    with service.serving(end=signal.SIGKILL):
        enrol(site, central.invite(tmp_path / "enrolment"))
        assert pull(site, "mob").downloaded
        with writing_meanwhile(central, tmp_path):
            service.command("backup", "--out", str(out))
        for days in (2, 4, 6):  # the days after the backup
            refresh_timestamp(central.home, datetime.now(UTC) + timedelta(days=days))
        pull(site, "mob")  # the site has seen a newer timestamp than that in the backup
    old = backed_up_timestamp(out)
    lose(central, postgres_or_none)

    said = service.command("restore", str(out))
    assert "What happened since then is undone" in said
    with service.serving():
        assert not pull(site, "mob").downloaded
        with open_egress(site, load_enrolment(site)) as egress:
            assert ask_who_we_are(egress, site, load_enrolment(site)).site == "hospital-a"
        newest = central.newest("timestamp")
        restored = newest.read_bytes()
        newest.write_bytes(old)  # what a restore that signs nothing would serve, or an attacker
        with pytest.raises(BadArtefact, match="older"):
            pull(site, "mob")
        newest.write_bytes(restored)
        assert not pull(site, "mob").downloaded
    assert "hospital-a" in service.command("sites", "list")


def test_site_that_saw_a_release_that_is_lost_refuses_until_it_is_published_again(
    service: Service, postgres_or_none: Postgres | None, tmp_path: Path
) -> None:
    central, site, out = service.central, SiteHome(tmp_path / "site"), tmp_path / "backup.tar"
    central.add_run("second")
    service.command("backup", "--out", str(out))
    with service.serving():
        enrol(site, central.invite(tmp_path / "enrolment"))
        service.command("publish", "second", "--organ", "mob")
        assert pull(site, "mob").manifest.name == "mob/2"
    with central.session() as session:
        key = session.connection().exec_driver_sql("SELECT public_key_pem FROM sites").scalar_one()
    assert "PUBLIC KEY" in key
    lose(central, postgres_or_none)

    service.command("restore", str(out))
    with service.serving():
        with pytest.raises(BadArtefact):
            pull(site, "mob")
        for key in central.home.path.with_name("medium").iterdir():
            shutil.copy(key, central.home.keys)
        service.command("publish", "second", "--organ", "mob")
        assert pull(site, "mob").manifest.name == "mob/2"


@contextmanager
def writing_meanwhile(central: Central, folder: Path) -> Iterator[None]:
    stop, done, failures = threading.Event(), threading.Event(), []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                central.invite(folder / f"invited-{number}", name=f"site-{number}")
                done.set()
        except BaseException as error:
            failures.append(error)
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert done.wait(60)
        yield
    finally:
        stop.set()
        writer.join()
    assert failures == []


def backed_up_timestamp(out: Path) -> bytes:
    import tarfile

    with tarfile.open(out) as tar:
        content = tar.extractfile("home/tuf/metadata/timestamp.json")
        assert content is not None
        return content.read()
