"""The real service in trouble while sites ask: what was accepted is kept, and nothing half-written is served."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import httpx
import pytest
import torch
from fakes.central import PASSPHRASE, Central
from fakes.federation import wait_for
from fakes.killed import publish_second
from fakes.served_process import AskingSite, ServedProcess, invited_sites, served_process, working
from fakes.small_disk import fill, small_disk
from sqlalchemy.exc import OperationalError

from c2lst_server.db.models import Release
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.publishing.check import check_as_client
from c2lst_server.publishing.refresh import refresh_timestamp
from c2lst_shared.errors import C2lstError
from c2lst_shared.release.targets import FILES, target_path

pytestmark = [pytest.mark.slow, pytest.mark.load]

FAST = {f"C2LST_SERVER_RATE_{name}": "100000/minute" for name in ("PER_ADDRESS", "SIGN_IN", "PER_SITE")}
PAGE, MOST_PAGES = 4096, 400
URL = "http://127.0.0.1:9"  # what sites know the server as; nothing is asked there


def client(served: ServedProcess, timeout: float = 60) -> httpx.Client:
    return httpx.Client(base_url=served.url, trust_env=False, timeout=timeout)


def check_release_is_whole(central: Central) -> None:
    """A new site accepts what is served, every file of the release included."""
    served = {path.name: path.read_bytes() for path in central.home.metadata.glob("*.json")}
    there = [target_path("mob", 1, file) for file in FILES]
    check_as_client(served["1.root.json"], {}, served.get, central.home.targets, there)


def check_files_are_whole(central: Central) -> None:
    """What lies under the name of its digest has that digest, whether it is signed or not."""
    for path in central.home.targets.rglob("*.*"):
        if path.is_file() and re.match(r"[0-9a-f]{64}\.", path.name):
            assert path.name.startswith(hashlib.sha256(path.read_bytes()).hexdigest()), path


def check_database_is_whole(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_many_at_once_get_their_answers(central: Central, tmp_path: Path) -> None:
    """More requests than threads and connections: none waits for a connection in a thread that another one needs."""
    with served_process(central.home, tmp_path / "log", **FAST) as served:
        (site,) = invited_sites(central.home, tmp_path, 1, URL)
        with client(served) as http:
            assert site.enrol(http).status_code == 200
            headers = {"Authorization": f"Bearer {site.ask_token(http).json()['access_token']}"}
            with ThreadPoolExecutor(80) as pool:
                answers = list(pool.map(lambda _: http.get("/api/v1/sites/me", headers=headers).status_code, range(400)))
    assert set(answers) == {200}


def test_locked_database_is_waited_for_then_said_and_nothing_of_the_request_is_kept(central: Central, tmp_path: Path) -> None:
    with served_process(central.home, tmp_path / "log", **FAST) as served:
        first, second = invited_sites(central.home, tmp_path, 2, URL)
        with client(served) as http:
            assert first.enrol(http).status_code == 200
            token = first.ask_token(http).json()["access_token"]
            locked = sqlite3.connect(central.home.database, isolation_level=None)
            locked.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor(4) as pool:
                refused = [pool.submit(second.enrol, http), *(pool.submit(first.ask_token, http) for _ in range(3))]
                assert served.get("/api/v1/sites/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
                assert (served.get("/healthz").status_code, served.get("/readyz").status_code) == (200, 200)
                answers = [answer.result() for answer in refused]
            locked.execute("ROLLBACK")
            locked.close()
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.headers["retry-after"] for answer in answers} == {"5"}
            assert answers[0].json()["detail"] == "The server cannot use its database now; ask again in a few seconds."
            assert 'c2lst_server_database_errors_total{kind="OperationalError"} 4.0' in served.metrics()
            assert second.enrol(http).status_code == 200
            assert first.ask_token(http).status_code == 200
    assert "sqlite3.OperationalError) database is locked" in (tmp_path / "log").read_text()


def test_lock_that_ends_in_time_is_not_noticed(central: Central, tmp_path: Path) -> None:
    with served_process(central.home, tmp_path / "log", **FAST) as served:
        sites = invited_sites(central.home, tmp_path, 8, URL)
        locked = sqlite3.connect(central.home.database, isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")
        with client(served) as http, ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(site.enrol, http) for site in sites]
            time.sleep(2)
            assert not any(answer.done() for answer in waiting)
            locked.execute("ROLLBACK")
            locked.close()
            assert {answer.result().status_code for answer in waiting} == {200}


def test_kill_under_load_loses_nothing_that_was_accepted(central: Central, tmp_path: Path) -> None:
    """Enrolments and tokens are asked for all the time while the service is killed thrice; whoever got a yes keeps it."""
    sites = invited_sites(central.home, tmp_path, 60, URL)
    accepted: dict[str, AskingSite] = {}
    tokens: list[tuple[str, str]] = []
    left = deque(sites)
    with served_process(central.home, tmp_path / "log", **FAST) as served, client(served, 20) as http:

        def enrol() -> None:
            try:
                site = left.popleft()
            except IndexError:
                time.sleep(0.1)
                return
            try:
                if site.enrol(http).status_code == 200:
                    accepted[site.name] = site
            finally:
                if site.name not in accepted:
                    left.append(site)  # it asks again, as sites do whose answer was lost on the way

        turns = cycle(range(7))

        def ask() -> None:
            known = list(accepted.values())
            if not known:
                time.sleep(0.05)
                return
            site = known[next(turns) % len(known)]
            answer = site.ask_token(http)
            if answer.status_code == 200:
                tokens.append((site.name, answer.json()["access_token"]))

        def pull() -> None:
            body = http.get(f"/tuf/targets/mob/1/{central.served('weights.safetensors').name}").content
            assert body == central.served("weights.safetensors").read_bytes()

        with working([enrol, enrol, ask, pull]):
            for kills in range(1, 4):
                before = len(accepted)
                wait_for(lambda before=before: len(accepted) >= before + 4, 90, "sites are accepted")
                served.kill()
                check_release_is_whole(central)
                served.start()
                assert kills == 3 or len(accepted) < len(sites), "the load goes on"
        assert len(accepted) >= 12
        assert len(tokens) >= 3
        for name, token in tokens[-60:]:
            answer = http.get("/api/v1/sites/me", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["site"]) == (200, name)
        # The same key and token bring the same answer; a site whose answer never came is there already, or is taken now.
        for site in [*accepted.values(), *left]:
            again = site.enrol(http)
            assert (again.status_code, again.json()["key_fingerprint"]) == (200, site.fingerprint)
        assert served.get("/readyz").status_code == 200
    check_database_is_whole(central.home.database)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB that can be filled."""
    with small_disk(tmp_path / "disk", megabytes=24) as mounted:
        if not mounted:
            pytest.skip("a small disk can be mounted as root only")
        yield tmp_path / "disk"


def test_full_disk_ends_readiness_keeps_serving_and_passes(template: Central, disk: Path, tmp_path: Path) -> None:
    central = template.copy(disk / "central")
    central.engine.dispose()
    with (
        served_process(central.home, tmp_path / "log", C2LST_SERVER_LEAST_FREE="2MiB", **FAST) as served,
        client(served) as http,
    ):
        first, second = invited_sites(central.home, tmp_path, 2, URL)
        assert first.enrol(http).status_code == 200
        assert served.get("/readyz").status_code == 200
        ballast = fill(disk)
        timestamp = central.newest("timestamp").read_bytes()

        wait_for(lambda: not served.ready(), 20, "the service says that it is not ready")
        assert served.get("/healthz").status_code == 200
        statuses = [first.ask_token(http).status_code for _ in range(30)]  # what room the log of the database has left ends
        assert statuses[-1] == 503
        assert set(statuses) <= {200, 503}
        with pytest.raises(OSError, match="No space left"):
            refresh_timestamp(central.home, datetime.now(UTC) + timedelta(days=2))
        assert central.newest("timestamp").read_bytes() == timestamp
        weights = central.served("weights.safetensors")
        assert served.get(f"/tuf/targets/mob/1/{weights.name}").content == weights.read_bytes()
        check_release_is_whole(central)
        assert 'c2lst_server_ready{check="disk"} 0.0' in served.metrics()

        ballast.unlink()
        wait_for(served.ready, 20, "the service is ready again")
        assert second.enrol(http).status_code == 200
        assert first.ask_token(http).status_code == 200
    check_database_is_whole(central.home.database)
    said = (tmp_path / "log").read_text()
    assert "Not ready: disk: " in said
    assert "Ready again." in said


def test_disk_that_is_full_while_a_release_is_published_leaves_the_old_one(
    template: Central, disk: Path, tmp_path: Path
) -> None:
    """With almost enough room, while sites pull all the time."""
    central = template.copy(disk / "central")
    weights = {f"layer{number}.weight": torch.randn(256, 1024) for number in range(5)}  # 1 MiB each
    central.add_run("second", weights=weights)
    central.engine.dispose()
    pulled: list[int] = []
    with served_process(central.home, tmp_path / "log", **FAST) as served, client(served) as http:

        def pull() -> None:
            release = http.get("/api/v1/releases/mob/1")
            file = http.get(f"/tuf/targets/mob/1/{central.served('weights.safetensors').name}")
            pulled.append(max(release.status_code, file.status_code))
            assert file.content == central.served("weights.safetensors").read_bytes()

        with working([pull, pull]):
            wait_for(lambda: len(pulled) > 3, 60, "sites pull")
            ballast = fill(disk)
            os.truncate(ballast, ballast.stat().st_size - (4 << 20))
            failed = publish_by_command(central)
            assert failed.returncode != 0
            assert "Traceback" not in failed.stderr
            assert "disk" in failed.stderr
            check_release_is_whole(central)
            check_files_are_whole(central)
            assert [release["number"] for release in http.get("/api/v1/releases").json()["releases"]] == [1]
            before = len(pulled)
            wait_for(lambda: len(pulled) > before + 3, 60, "sites pull")
            ballast.unlink()
            published = publish_by_command(central)
            assert published.returncode == 0, published.stderr
        assert [release["number"] for release in http.get("/api/v1/releases").json()["releases"]] == [1, 2]
    assert set(pulled) == {200}
    check_release_is_whole(central)
    check_database_is_whole(central.home.database)


def test_disk_that_fills_at_any_write_of_publishing_leaves_what_sites_accept(template: Central, disk: Path) -> None:
    """With one page of room, with two, and so on until it is enough; each failure is followed by another try."""
    central = template.copy(disk / "central")
    central.add_run("second")
    seen: list[list[str]] = []
    for pages in range(MOST_PAGES):
        central.engine.dispose()
        ballast = fill(disk)
        os.truncate(ballast, ballast.stat().st_size - pages * PAGE)
        try:
            publish_second(central)
        except (OSError, OperationalError, C2lstError):
            pass
        else:
            break
        finally:
            ballast.unlink()
        check_release_is_whole(central)
        check_files_are_whole(central)
        seen.append([release.name for release in read_catalogue(central.home).releases])
    assert 5 < pages < MOST_PAGES - 1
    assert ["mob/1"] in seen
    assert [release.name for release in read_catalogue(central.home).releases] == ["mob/1", "mob/2"]
    with central.session() as session:
        assert session.query(Release).count() == 2
    central.engine.dispose()
    check_database_is_whole(central.home.database)


def publish_by_command(central: Central) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "c2lst_server", "publish", "second", "--organ", "mob", "--home", str(central.home.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "C2LST_SERVER_PASSPHRASE": PASSPHRASE}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
