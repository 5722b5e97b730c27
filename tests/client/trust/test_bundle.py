"""A bundle brings a release to a machine without a network, under the same checks; what else is in it means nothing."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from fakes.central import Central
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst_client.home import Home
from c2lst_client.trust.bundle import MAX_MEMBERS, Bundle, export_bundle
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import load_release, pull
from c2lst_server.publishing.withdraw import withdraw
from c2lst_shared.errors import BadArtefact, BadInput, C2lstError

WEIGHTS = "weights.safetensors"


@pytest.fixture
def isolated(central: Central, tmp_path: Path) -> Home:
    """A site that never speaks to the server."""
    home = Home(tmp_path / "isolated")
    enrol(home, central.invite(tmp_path / "b.json", name="hospital-b"), offline=True)
    return home


@pytest.fixture
def bundle(enrolled: Home, tmp_path: Path) -> Path:
    pull(enrolled, "mob")
    export_bundle(enrolled, "mob/1", tmp_path / "mob-1.bundle")
    return tmp_path / "mob-1.bundle"


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


def rewritten(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_release_comes_to_a_machine_without_a_network(bundle: Path, isolated: Home) -> None:
    with Bundle(bundle) as opened:
        assert opened.releases() == ["mob/1"]
    assert pull(isolated, "mob", 1, bundle=bundle).downloaded
    assert load_release(isolated, "mob", 1)[0].name == "mob/1"
    assert not isolated.audit_log.exists()  # nothing was sent, not even at enrolment


def test_same_release_makes_the_same_bundle(bundle: Path, enrolled: Home, tmp_path: Path) -> None:
    export_bundle(enrolled, "mob/1", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle.read_bytes()


def test_release_that_is_not_here_is_not_exported(enrolled: Home, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mob/1 is not here"):
        export_bundle(enrolled, "mob/1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_release_is_not_exported(bundle: Path, enrolled: Home, tmp_path: Path) -> None:
    (enrolled.release("mob", 1) / WEIGHTS).write_bytes(b"x")
    with pytest.raises(BadArtefact, match="not the one that was signed"):
        export_bundle(enrolled, "mob/1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", [WEIGHTS, "manifest.json", "timestamp.json", "targets.json", "mob.json"])
def test_changed_byte_is_refused(bundle: Path, isolated: Home, part: str) -> None:
    contents = members(bundle)
    name = next(name for name in contents if name.endswith(part))
    changed = bytearray(contents[name])
    changed[len(changed) // 2] ^= 1
    rewritten(bundle, contents | {name: bytes(changed)})
    with pytest.raises(BadArtefact):
        pull(isolated, "mob", 1, bundle=bundle)
    assert not isolated.releases.joinpath("mob", "1").exists()


def test_bundle_of_another_server_is_refused(bundle: Path, isolated: Home, tmp_path: Path) -> None:
    other = Central(tmp_path / "other")
    other.publish("first")
    contents = {f"tuf/metadata/{path.name}": path.read_bytes() for path in other.home.metadata.iterdir()}
    other.engine.dispose()
    with pytest.raises(BadArtefact, match="not signed by the keys pinned at enrolment"):
        pull(isolated, "mob", 1, bundle=rewritten(bundle, contents))


def test_old_bundle_does_not_take_a_site_back(bundle: Path, enrolled: Home, isolated: Home, central: Central) -> None:
    old = bundle.read_bytes()
    central.publish("second")
    pull(enrolled, "mob")
    newer = bundle.with_name("newer")
    export_bundle(enrolled, "mob/2", newer)
    pull(isolated, "mob", 2, bundle=newer)
    bundle.write_bytes(old)
    with pytest.raises(BadArtefact, match="older than what this site has seen"):
        pull(isolated, "mob", 1, bundle=bundle)


def test_bundle_tells_of_a_withdrawal(bundle: Path, enrolled: Home, isolated: Home, central: Central) -> None:
    pull(isolated, "mob", 1, bundle=bundle)
    central.publish("second")
    withdraw(central.home, central.keyring, "mob", 1, "Spoilt.")
    pull(enrolled, "mob")
    export_bundle(enrolled, "mob/2", bundle)
    pull(isolated, "mob", 2, bundle=bundle)
    with pytest.raises(BadInput, match=r"mob/1 was withdrawn on .*: Spoilt"):
        load_release(isolated, "mob", 1)


def with_member(name: str, kind: bytes = tarfile.REGTYPE, *, linkname: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info.tobuf(tarfile.USTAR_FORMAT)


PAX_BOMB = tarfile.TarInfo("bomb")
PAX_BOMB.type, PAX_BOMB.size = tarfile.XHDTYPE, 1 << 40


@pytest.mark.parametrize(
    "first",
    [
        with_member("tuf/metadata/timestamp.json", tarfile.SYMTYPE, linkname="/etc/passwd"),
        with_member("tuf/metadata/timestamp.json", tarfile.LNKTYPE, linkname="other"),
        with_member("device", tarfile.CHRTYPE),
        PAX_BOMB.tobuf(tarfile.GNU_FORMAT),
        b"GIF89a".ljust(512, b"x"),
        b"",
        with_member("a") * (MAX_MEMBERS + 2),
    ],
    ids=["symlink", "hard link", "device", "extended header", "no tar", "empty", "too many members"],
)
def test_what_is_no_bundle_is_refused_at_once(bundle: Path, isolated: Home, first: bytes) -> None:
    content = b"" if not first else first + bundle.read_bytes()
    bundle.write_bytes(content)
    with pytest.raises(BadArtefact, match="is not a bundle made by"):
        pull(isolated, "mob", 1, bundle=bundle)


def test_path_that_climbs_is_never_written(bundle: Path, isolated: Home) -> None:
    rewritten(bundle, members(bundle) | {"../../escaped": b"x", "/escaped": b"x"})
    assert pull(isolated, "mob", 1, bundle=bundle).downloaded
    assert not list(isolated.path.parent.rglob("escaped"))


def test_bundle_that_was_cut_off_is_refused(bundle: Path, isolated: Home) -> None:
    contents = members(bundle)
    weights = next(name for name in contents if name.endswith(WEIGHTS))
    rewritten(bundle, {name: content for name, content in contents.items() if name != weights} | {weights: contents[weights]})
    bundle.write_bytes(bundle.read_bytes()[: bundle.read_bytes().rfind(contents[weights]) + 100])
    with pytest.raises(BadArtefact, match="is cut off within"):
        pull(isolated, "mob", 1, bundle=bundle)
    assert not isolated.releases.joinpath("mob", "1").exists()


def test_bundle_without_the_weights_is_refused(bundle: Path, isolated: Home) -> None:
    rewritten(bundle, {name: content for name, content in members(bundle).items() if WEIGHTS not in name})
    with pytest.raises(C2lstError, match=r"does not hold /tuf/targets/mob/1/[0-9a-f]{64}.weights"):
        pull(isolated, "mob", 1, bundle=bundle)


def test_bundle_that_is_not_there_is_named(isolated: Home) -> None:
    with pytest.raises(BadInput, match=r"The bundle .*nowhere cannot be read"):
        pull(isolated, "mob", 1, bundle=Path("nowhere"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_are_a_bundle_or_are_refused(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            with Bundle(Path(file.name)) as opened:
                opened.releases()
        except BadArtefact:
            pass
