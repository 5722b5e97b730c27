"""The state folder goes into one file and comes back, while a worker runs too; what is half done is left out and named."""

from __future__ import annotations

import json
import stat
import tarfile
import threading
from pathlib import Path

import pytest
from fakes.central import Central, serving
from fakes.round_site import ROUND, RoundSite, end_workers, offer
from typer.testing import CliRunner

from c2lst_client.audit import AuditLog, Entry, read_entries, verify_chain
from c2lst_client.backup import back_up, restore
from c2lst_client.cli import app
from c2lst_client.console.access_token import read_token
from c2lst_client.home import Home
from c2lst_client.rounds.handle import handle
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.rounds.policy import load_policy
from c2lst_client.sites import open_site, site_names
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import pull
from c2lst_shared.errors import BadInput, Busy
from c2lst_shared.locking import locked


@pytest.fixture
def site(tmp_path: Path) -> RoundSite:
    """A slide, a policy, and what belongs in no backup."""
    site = RoundSite(tmp_path / "site")
    (site.home.federation / "node").mkdir(parents=True)
    (site.home.federation / "node" / "source").write_text("x")
    read_token(site.home)
    (site.home.path / "releases" / "mob" / ".2.part").mkdir(parents=True)
    (site.home.path / "releases" / "mob" / ".2.part" / "half").write_text("x")
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Home:
    return Home(tmp_path / "elsewhere")


def files(home: Home) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(home.path).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in home.path.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(home.path).parts)
        if path.suffix != ".lock" and not path.is_relative_to(home.federation) and not path.is_relative_to(home.console)
    }


@pytest.mark.slow
def test_enrolled_site_is_restored_and_pulls_again(tmp_path: Path, site: RoundSite, elsewhere: Home) -> None:
    central, out = Central(tmp_path / "central"), tmp_path / "site.tar"
    central.publish("first")
    with serving(central):
        enrol(site.home, central.invite(tmp_path / "enrolment"))
        pull(site.home, "mob")
        made = back_up(site.home, out)
        assert made.left_out == []
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        restore(elsewhere, out)
        assert files(elsewhere) == files(site.home)
        assert files(elsewhere)["identity/site.key"][1] == 0o600
        assert stat.S_IMODE((elsewhere.path / "identity").stat().st_mode) == 0o700
        assert not elsewhere.federation.exists()
        assert not pull(elsewhere, "mob").downloaded
    central.engine.dispose()
    assert verify_chain(elsewhere.audit_log) > 3


def test_token_of_the_console_is_in_no_backup(site: RoundSite, elsewhere: Home, tmp_path: Path) -> None:
    back_up(site.home, tmp_path / "site.tar")
    restore(elsewhere, tmp_path / "site.tar")
    assert site.home.console_token.exists()
    assert not elsewhere.console.exists()


def test_what_is_being_worked_on_is_left_out_and_named(site: RoundSite, elsewhere: Home, tmp_path: Path) -> None:
    with open_site(site.home, "demo").exclusively():
        made = back_up(site.home, tmp_path / "site.tar")
    assert made.left_out == ["sites/demo"]
    done = restore(elsewhere, tmp_path / "site.tar")
    assert done.left_out == ["sites/demo"]
    assert site_names(elsewhere) == []
    assert load_policy(elsewhere) == load_policy(site.home)
    back_up(site.home, tmp_path / "again.tar")
    with tarfile.open(tmp_path / "again.tar") as tar:
        assert "sites/demo/site.json" in tar.getnames()


def test_audit_log_that_grows_meanwhile_is_whole(site: RoundSite, elsewhere: Home, tmp_path: Path) -> None:
    log, stop, began = AuditLog(site.home.audit_log), threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            log.append(Entry(method="GET", path="/healthz", bytes_out=0, bytes_in=1))
            began.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(30)
        back_up(site.home, tmp_path / "site.tar")
    finally:
        stop.set()
        writer.join()
    restore(elsewhere, tmp_path / "site.tar")
    kept = verify_chain(elsewhere.audit_log)
    assert 0 < kept <= verify_chain(site.home.audit_log)
    assert read_entries(elsewhere.audit_log) == read_entries(site.home.audit_log)[:kept]


@pytest.mark.slow
def test_backup_disturbs_no_worker_and_its_round_is_begun_again_where_it_is_restored(
    site: RoundSite, elsewhere: Home, tmp_path: Path
) -> None:
    handle(site.home, offer(steps=60).body())
    worker = site.start_worker(once=True, pause=0.05)
    try:
        site.wait(lambda job: job.state == "running" and job.stage == "adapt" and (job.step or 0) >= 10, seconds=300)
        made = back_up(site.home, tmp_path / "site.tar")
        assert made.left_out == [f"rounds/{ROUND}"]
        assert site.job.state == "running"
        assert worker.wait(300) == 0
        assert (site.job.state, site.job.crashes) == ("finished", 0)
        restore(elsewhere, tmp_path / "site.tar")
        (job,) = JobQueue(elsewhere.round_queue).all()
        assert (job.state, job.owner, job.crashes) == ("queued", None, 0)
        again = RoundSite.__new__(RoundSite)
        again.home = elsewhere
        assert again.start_worker(once=True).wait(300) == 0
        assert (again.job.state, again.adapter_sha256()) == ("finished", site.adapter_sha256())
    finally:
        end_workers()


def test_folder_that_is_not_empty_is_refused_or_moved_aside(site: RoundSite, tmp_path: Path) -> None:
    out, before = tmp_path / "site.tar", files(site.home)
    back_up(site.home, out)
    with pytest.raises(BadInput, match="is not empty; choose another --home, or pass --overwrite"):
        restore(site.home, out)
    assert files(site.home) == before
    done = restore(site.home, out, overwrite=True)
    assert done.before is not None
    assert (done.before / "sites" / "demo" / "site.json").exists()
    assert files(site.home).keys() >= before.keys()


def test_folder_that_is_worked_in_is_not_restored(site: RoundSite, tmp_path: Path) -> None:
    out = tmp_path / "site.tar"
    back_up(site.home, out)
    with locked(site.home.federation / ".lock", ""), pytest.raises(Busy, match=r"`c2lst-client join` runs in .*; stop it"):
        restore(site.home, out, overwrite=True)
    with open_site(site.home, "demo").exclusively(), pytest.raises(Busy, match=r"is working in .*demo; stop it"):
        restore(site.home, out, overwrite=True)


def test_backup_of_a_newer_state_folder_is_refused(
    site: RoundSite, elsewhere: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("c2lst_client.backup.STATE", 2)
        back_up(site.home, tmp_path / "site.tar")
    with pytest.raises(BadInput, match=r"state folder of version 2, and this version knows 1; install the newer one"):
        restore(elsewhere, tmp_path / "site.tar")
    assert files(elsewhere) == {}


def test_nothing_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is nothing in .* to back up; pass the right --home"):
        back_up(Home(tmp_path / "nothing"), tmp_path / "site.tar")
    assert list(tmp_path.iterdir()) == []


def test_commands_warn_and_give_json(site: RoundSite, elsewhere: Home, tmp_path: Path) -> None:
    run, out = CliRunner(), str(tmp_path / "site.tar")
    made = run.invoke(app, ["backup", "--out", out, "--home", str(site.home.path)])
    assert made.exit_code == 0, made.output
    assert "private key and what was made from its data, unencrypted: keep it here" in made.stdout
    done = run.invoke(app, ["restore", out, "--home", str(elsewhere.path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["home"] == str(elsewhere.path)
