"""A backup holds what cannot be made again and no offline key; what is restored is what was backed up, or nothing changes."""

from __future__ import annotations

import io
import json
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import Central
from fakes.postgres import Postgres
from sqlalchemy import select
from typer.testing import CliRunner

from c2lst_server.administrators import Scope, add
from c2lst_server.backup import back_up
from c2lst_server.cli import app
from c2lst_server.db.models import Base, Site
from c2lst_server.db.session import changing, connect, downgrade, open_database
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import reading
from c2lst_server.publishing.keys import key_files
from c2lst_server.restore import restore
from c2lst_server.settings import Settings
from c2lst_server.sites.enrolment import enrol
from c2lst_server.sites.registry import Address, invite
from c2lst_shared import archive
from c2lst_shared.errors import BadArtefact, BadInput, Busy, C2lstError, NoSpace
from c2lst_shared.locking import in_use
from c2lst_shared.progress import Silent
from c2lst_shared.wire import EnrolmentFile, EnrolmentRequest

pytestmark = pytest.mark.both_databases


def rows(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    engine = open_database(settings)
    with engine.connect() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(table.select())] for table in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


def served(home: Home) -> dict[str, bytes]:
    """All targets and the metadata that only the offline keys sign."""
    kept = [*home.targets.rglob("*"), *home.metadata.glob("*.root.json"), *home.metadata.glob("*.targets.json")]
    return {path.relative_to(home.path).as_posix(): path.read_bytes() for path in kept if path.is_file()}


@pytest.fixture
def filled(central: Central, tmp_path: Path) -> Central:
    """With a site, an administrator, and a run that was not published."""
    file = EnrolmentFile.model_validate_json(central.invite(tmp_path / "file").read_bytes())
    key = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with central.session() as session:
        enrol(session, EnrolmentRequest(token=file.token, public_key_pem=key.decode()))
        add(session, "ada", (Scope.READ_SITES,), days=3)
    central.add_run("second")
    (central.home.run("second") / "checkpoint.safetensors").write_bytes(b"large")
    (central.home.run("second") / "corpus").mkdir()
    (central.home.run("second") / "corpus" / "tiles.npy").write_bytes(b"larger")
    return central


@pytest.fixture
def elsewhere(tmp_path: Path, postgres_or_none: Postgres | None) -> Settings:
    """Where there is nothing yet."""
    home = tmp_path / "elsewhere"
    return Settings(home=home, database_url=postgres_or_none.new() if postgres_or_none else None)


def test_everything_is_restored_and_new_rows_get_new_numbers(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    made = back_up(filled.settings, tmp_path / "backup.tar")
    assert (made.releases, made.runs) == (["mob/1"], ["first", "second"])
    done = restore(elsewhere, tmp_path / "backup.tar")
    assert (done.releases, done.before, done.migrated_from, done.not_signed) == (["mob/1"], None, None, None)
    home = elsewhere.folders
    assert rows(elsewhere) == rows(filled.settings)
    assert served(home) == served(filled.home)
    restored = Central(home.path, elsewhere.database)
    with restored.session() as session:
        invite(session, home, "hospital-b", Address("https://central.example.org"), out=tmp_path / "new")
        assert session.scalars(select(Site.name).order_by(Site.id)).all() == ["hospital-a", "hospital-b"]
    with restored.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    restored.engine.dispose()


def test_offline_keys_corpora_and_checkpoints_are_not_in_it(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    (filled.home.keys / "targets-alice.pem").write_bytes((filled.home.keys / "targets-1.pem").read_bytes())
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    with tarfile.open(out) as tar:
        names = tar.getnames()
    assert [name for name in names if name.startswith("home/keys/")] == ["home/keys/snapshot.pem", "home/keys/timestamp.pem"]
    content = out.read_bytes()
    for role in ("root", "targets"):
        for key in key_files(filled.home.keys, role):
            assert key.read_bytes().splitlines()[1] not in content
    assert not [name for name in names if "corpus" in name or "checkpoint" in name]
    assert "home/runs/second/weights.safetensors" in names
    assert "home/runs/first/weights.safetensors" not in names  # it is among the targets
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    restore(elsewhere, out)
    keys = elsewhere.folders.keys
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {
        "snapshot.pem": 0o600,
        "timestamp.pem": 0o600,
    }
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert stat.S_IMODE((elsewhere.folders.metadata / "timestamp.json").stat().st_mode) == 0o644


def test_backup_made_while_others_write_is_of_one_moment(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    """Each writer makes an administrator and a site of the same number in one transaction: both are in it, or neither."""
    stop, failures = threading.Event(), []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                with filled.session() as session:
                    session.add(Site(name=f"s{number}", state="invited", added=datetime.now(UTC)))
                    session.flush()
                    add(session, f"s{number}", (Scope.READ_SITES,), days=1)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            back_up(filled.settings, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        writer.join()
    assert failures == []
    restore(elsewhere, tmp_path / "2.tar")
    found = rows(elsewhere)
    sites, administrators = ({row[1] for row in found[table]} for table in ("sites", "administrators"))
    assert sites - {"hospital-a"} == administrators - {"ada"}
    assert len(sites) > 1


@pytest.mark.slow
def test_other_kind_of_database_takes_the_rows(
    filled: Central, tmp_path: Path, postgres_or_none: Postgres | None, running_postgres: Postgres
) -> None:
    """From SQLite to PostgreSQL when it is outgrown, and back; and the other way round."""
    other, same = (None, running_postgres.new()) if postgres_or_none else (running_postgres.new(), None)
    back_up(filled.settings, tmp_path / "one.tar")
    there = Settings(home=tmp_path / "there", database_url=other)
    restore(there, tmp_path / "one.tar")
    assert rows(there) == rows(filled.settings)
    back_up(there, tmp_path / "two.tar")
    back = Settings(home=tmp_path / "back", database_url=same)
    restore(back, tmp_path / "two.tar")
    assert rows(back) == rows(filled.settings)


def test_older_backup_is_brought_up_to_date(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    before = rows(filled.settings)
    engine = connect(filled.settings, foreign_keys=False)
    with changing(engine) as connection:
        downgrade(connection, "0001")
    engine.dispose()
    back_up(filled.settings, tmp_path / "old.tar")
    done = restore(elsewhere, tmp_path / "old.tar")
    assert done.migrated_from == "0001"
    after = rows(elsewhere)
    assert after["releases"] == before["releases"]
    assert [row[:7] for row in after["sites"]] == [row[:7] for row in before["sites"]]
    assert after["administrators"] == []


def test_home_or_database_that_is_not_empty_is_refused_and_unchanged(
    filled: Central, elsewhere: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    before = rows(filled.settings)
    with pytest.raises(BadInput, match="is not empty; choose another --home, or pass --overwrite"):
        restore(filled.settings, out)
    assert rows(filled.settings) == before
    if elsewhere.database_url:
        restore(elsewhere, out)
        with pytest.raises(BadInput, match="has tables of c2lst already; pass --overwrite"):
            restore(elsewhere.model_copy(update={"home": tmp_path / "third"}), out)
        assert [path for path in (tmp_path / "third").iterdir() if not path.name.startswith(".")] == []
        assert rows(elsewhere) == before


def test_overwrite_moves_what_was_there_aside(filled: Central, tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    before, offline = rows(filled.settings), (filled.home.keys / "root-1.pem").read_bytes()
    with filled.session() as session:
        add(session, "eve", (Scope.READ_SITES,), days=3)
    filled.engine.dispose()
    done = restore(filled.settings, out, overwrite=True)
    assert done.before is not None
    assert (done.before / "keys" / "root-1.pem").read_bytes() == offline
    assert rows(filled.settings) == before


def test_home_that_is_served_is_not_restored(filled: Central, tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    with in_use(filled.home.in_use), pytest.raises(Busy, match=r"`c2lst-server serve` runs in .*; stop it"):
        restore(filled.settings, out, overwrite=True)


def test_restored_metadata_is_newer_than_any_that_was_given(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    back_up(filled.settings, tmp_path / "backup.tar")
    restore(elsewhere, tmp_path / "backup.tar")
    first = reading(elsewhere.folders)
    lowest = first.timestamp().version
    assert lowest == first.snapshot().version > 1_700_000_000
    assert first.targets("mob").version == reading(filled.home).targets("mob").version  # the offline keys sign these
    for name in ("root-1", "root-2", "root-3", "targets-1", "targets-2"):
        shutil.copy(filled.home.keys / f"{name}.pem", elsewhere.folders.keys)
    restored = Central(elsewhere.folders.path, elsewhere.database)
    restored.publish("third")
    restored.engine.dispose()
    assert reading(elsewhere.folders).targets("mob").version >= lowest


def test_metadata_that_cannot_be_signed_is_restored_and_said(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    (filled.home.keys / "timestamp.pem").write_bytes((filled.home.keys / "snapshot.pem").read_bytes())
    back_up(filled.settings, tmp_path / "backup.tar")
    done = restore(elsewhere, tmp_path / "backup.tar")
    assert done.not_signed is not None
    assert "timestamp was signed by 0/1 keys" in done.not_signed
    assert "run `c2lst-server renew` if something has expired" in done.not_signed
    assert (elsewhere.folders.metadata / "timestamp.json").read_bytes() == filled.newest("timestamp").read_bytes()
    assert rows(elsewhere) == rows(filled.settings)


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write the backup again with other members."""
    with tarfile.open(path) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    change(members)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def manifest_changed(**values: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | values).encode()

    return change


def tampered(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("weights.safetensors"))
    members[name] = bytes([members[name][0] ^ 1]) + members[name][1:]


def climbing(members: dict[str, bytes]) -> None:
    manifest = json.loads(members["manifest.json"])
    manifest["files"][0]["name"] = "home/../../outside"
    members["home/../../outside"] = members.pop(next(iter(members)))
    members["manifest.json"] = json.dumps(manifest).encode()


def without_manifest(members: dict[str, bytes]) -> None:
    del members["manifest.json"]


def with_one_more(members: dict[str, bytes]) -> None:
    members["home/keys/evil.pem"] = b"x"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(tampered, BadArtefact, "is not what was backed up; use another backup", id="tampered"),
        pytest.param(climbing, BadArtefact, "manifest of .* is damaged", id="path that climbs"),
        pytest.param(without_manifest, BadArtefact, "has no manifest", id="cut off"),
        pytest.param(with_one_more, BadArtefact, "do not fit together", id="one more"),
        pytest.param(manifest_changed(format=2), BadInput, "newer version of c2lst made .*format 2", id="newer format"),
        pytest.param(manifest_changed(state="0999"), BadInput, "tables of version 0999.*install the newer", id="newer tables"),
        pytest.param(manifest_changed(kind="client"), BadInput, "backup of a client", id="other kind"),
    ],
)
def test_what_is_not_a_whole_backup_of_a_server_changes_nothing(
    filled: Central,
    elsewhere: Settings,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    error: type[C2lstError],
    message: str,
) -> None:
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    with pytest.raises(error, match=message):
        restore(elsewhere, rewritten(out, change))
    home = elsewhere.folders.path
    assert not home.exists() or [path for path in home.iterdir() if not path.name.endswith(".lock")] == [home / ".in-use"]
    assert not (tmp_path / "outside").exists()


def test_links_are_refused(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    back_up(filled.settings, out)
    link = tarfile.TarInfo("home/keys/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(out, "a") as tar:
        tar.addfile(link)
    with pytest.raises(BadArtefact, match=r"'home/keys/link' does not belong in it; refused"):
        restore(elsewhere, out)


def test_header_that_claims_to_be_long_is_refused(tmp_path: Path, elsewhere: Settings) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    (tmp_path / "bomb.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"0" * 10_000)
    with pytest.raises(BadArtefact, match="a header is too long"):
        restore(elsewhere, tmp_path / "bomb.tar")


def test_small_disk_is_told_before_anything_is_written(
    filled: Central, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(filled.settings, tmp_path / "backup.tar")
    monkeypatch.setattr(archive, "SPARE_BYTES", 1 << 60)
    with pytest.raises(NoSpace, match="make room and run again"):
        restore(elsewhere, tmp_path / "backup.tar")


def test_backup_replaces_nothing_and_leaves_nothing_half_done(filled: Central, tmp_path: Path) -> None:
    out = tmp_path / "backup.tar"
    out.write_text("something else")
    with pytest.raises(BadInput, match="is there already; a backup replaces nothing"):
        back_up(filled.settings, out)
    assert out.read_text() == "something else"
    unreachable = filled.settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:9/none"})
    with pytest.raises(C2lstError, match="cannot be read"):
        back_up(unreachable, tmp_path / "other.tar")
    assert {path.name for path in tmp_path.iterdir() if "backup" in path.name or "other" in path.name} == {"backup.tar"}


def test_commands_say_what_was_done(filled: Central, elsewhere: Settings, tmp_path: Path) -> None:
    run, out = CliRunner(), str(tmp_path / "backup.tar")
    made = run.invoke(
        app,
        ["backup", "--out", out, "--home", str(filled.home.path)],
        env={"C2LST_SERVER_DATABASE_URL": filled.settings.database},
    )
    assert made.exit_code == 0, made.output
    assert "Releases: mob/1. Runs: first, second." in made.stdout
    assert "keys unencrypted: keep it where only you can read it" in made.stdout
    environment = {"C2LST_SERVER_DATABASE_URL": elsewhere.database_url or ""} if elsewhere.database_url else {}
    done = run.invoke(app, ["restore", out, "--home", str(elsewhere.folders.path), "--json"], env=environment)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["releases"] == ["mob/1"]
    assert rows(elsewhere) == rows(filled.settings)


def test_names_that_a_backup_cannot_keep_are_told(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_text("x")
    with (
        pytest.raises(BadInput, match="has a name that a backup cannot keep"),
        archive.writing(tmp_path / "o.tar", Silent()) as it,
    ):
        it.add(archive.Source("a\nb", tmp_path / "a\nb"))
    assert not (tmp_path / "o.tar").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a\nb"]
