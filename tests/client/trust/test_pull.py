"""A release is put in its place when all of it is what was signed; otherwise nothing changes, and the user is told why."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from fakes.answering import answering, replying
from fakes.central import Central, serving, tiny_weights
from tuf.api.metadata import Metadata, Timestamp

from c2lst_client.audit import verify_chain
from c2lst_client.home import Home
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.fetch import Patience
from c2lst_client.trust.pinned import locked
from c2lst_client.trust.pull import load_release, newest_here, pull
from c2lst_server.publishing.refresh import renew_targets
from c2lst_server.publishing.repository import sign
from c2lst_shared.errors import BadArtefact, BadInput, Busy, TransferFailed
from c2lst_shared.release.manifest import MANIFEST, SAMPLES, WEIGHTS, Manifest, TensorSpec, parse_manifest
from c2lst_shared.release.weights import describe_tensors, save_weights, sha256_of


def kept(home: Home) -> dict[str, bytes]:
    """Everything that must not change when a pull is refused: all but the audit log and newer, verified metadata."""
    out = (home.metadata, home.audit_log, home.trust_lock, home.seen)
    files = (path for path in home.path.rglob("*") if path.is_file() and not any(path.is_relative_to(folder) for folder in out))
    return {str(path.relative_to(home.path)): path.read_bytes() for path in files if path.suffix != ".lock"}


def requests(home: Home) -> list[str]:
    return [json.loads(line)["path"] for line in home.audit_log.read_text().splitlines()]


class Counting:
    """A progress that remembers what it was told."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        self.what, self.total = what, total

    def advance(self, units: int = 1, note: str = "") -> None:
        self.done += units


# The good path


def test_pulled_release_is_the_published_one(central: Central, enrolled: Home) -> None:
    progress = Counting()
    pulled = pull(enrolled, "mob", progress=progress)
    assert pulled.downloaded
    assert pulled.manifest == parse_manifest(central.served(MANIFEST).read_bytes())
    assert pulled.folder == enrolled.path / "releases" / "mob" / "1"
    assert sorted(path.name for path in pulled.folder.iterdir()) == sorted([MANIFEST, WEIGHTS, SAMPLES])
    assert progress.what == "pulling mob/1 (kB)"
    assert progress.done == progress.total > 0
    manifest, tensors = load_release(enrolled, "mob", 1)
    assert manifest == pulled.manifest
    assert all(torch.equal(tensors[name], tensor) for name, tensor in tiny_weights().items())
    assert verify_chain(enrolled.audit_log) == len(requests(enrolled))


def test_release_that_is_there_is_verified_and_not_fetched_again(central: Central, enrolled: Home) -> None:
    first = pull(enrolled, "mob")
    before, asked = kept(enrolled), len(requests(enrolled))
    again = pull(enrolled, "mob")
    assert (again.downloaded, again.manifest) == (False, first.manifest)
    assert kept(enrolled) == before
    assert not any("/targets/" in path for path in requests(enrolled)[asked:])


def test_latest_release_is_the_default_and_an_older_one_can_be_named(central: Central, enrolled: Home) -> None:
    central.publish("second")
    assert pull(enrolled, "mob").manifest.name == "mob/2"
    assert pull(enrolled, "mob", 1).manifest.name == "mob/1"
    assert sorted(path.name for path in (enrolled.releases / "mob").iterdir()) == ["1", "2"]
    assert newest_here(enrolled, "mob") == 2
    assert newest_here(enrolled, "lung") is None


def test_pulled_release_needs_no_server(template: Central, home: Home, tmp_path: Path) -> None:
    central = template.copy(tmp_path / "central")
    with serving(central):
        enrol(home, central.invite(tmp_path / "enrolment.json"))
        pull(home, "mob")
    central.engine.dispose()
    assert load_release(home, "mob", 1)[0].name == "mob/1"
    with pytest.raises(TransferFailed, match=r"cannot be reached .*; check the network and run again"):
        pull(home, "mob", patience=Patience(attempts=2, first_wait=0))


@pytest.mark.parametrize("file", [MANIFEST, WEIGHTS, SAMPLES])
def test_release_damaged_on_this_disk_is_fetched_again(central: Central, enrolled: Home, file: str) -> None:
    folder = pull(enrolled, "mob").folder
    before = kept(enrolled)
    flip(folder / file)
    assert pull(enrolled, "mob").downloaded
    assert kept(enrolled) == before


# What is asked for wrongly


@pytest.mark.parametrize(
    ("organ", "number", "message"),
    [
        ("lung", None, r"has no release for organ 'lung'; it has: mob\."),
        ("mob", 2, r"has no release mob/2; it has: mob/1\."),
        ("mob", 0, r"has no release mob/0; it has: mob/1\."),
        ("../mob", None, r"'../mob' cannot name an organ"),
        ("snapshot", None, r"'snapshot' cannot name an organ"),
    ],
)
def test_release_that_does_not_exist_is_named(
    central: Central, enrolled: Home, organ: str, number: int | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        pull(enrolled, organ, number)
    assert not enrolled.releases.exists()


def test_site_that_is_not_enrolled_pulls_nothing(central: Central, home: Home) -> None:
    with pytest.raises(BadInput, match="is not enrolled"):
        pull(home, "mob")
    assert not home.path.exists()


def test_release_that_was_not_pulled_is_not_loaded(central: Central, enrolled: Home) -> None:
    with pytest.raises(BadInput, match="mob/1 is not here; run `c2lst-client pull --organ mob --release 1`"):
        load_release(enrolled, "mob", 1)


def test_two_pulls_at_once_do_not_mix(central: Central, enrolled: Home) -> None:
    with locked(enrolled), pytest.raises(Busy, match="Another c2lst command is enrolling or pulling"):
        pull(enrolled, "mob", wait=0)


def test_eight_sites_pull_at_once(central: Central, tmp_path: Path) -> None:
    homes = [Home(tmp_path / f"site-{number}") for number in range(8)]
    for number, home in enumerate(homes):
        enrol(home, central.invite(tmp_path / f"{number}.json", name=f"site-{number}"))
    with ThreadPoolExecutor(8) as pool:
        names = [pulled.manifest.name for pulled in pool.map(lambda home: pull(home, "mob"), homes)]
    assert names == ["mob/1"] * 8
    assert all(load_release(home, "mob", 1)[0].name == "mob/1" for home in homes)


@pytest.mark.slow
def test_eight_processes_of_a_site_share_one_download(central: Central, enrolled: Home) -> None:
    command = [Path(sys.executable).with_name("c2lst-client"), "pull", "--organ", "mob", "--home", str(enrolled.path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(8)]
    said = [process.communicate(timeout=200)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 8, said
    assert all("Release mob/1 is here and verified" in words for words in said)
    assert sum("weights.safetensors" in path for path in requests(enrolled)) == 1
    assert verify_chain(enrolled.audit_log) == len(requests(enrolled))


# What was tampered with on the way or on the server: the release of that number, or the metadata that leads to it


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, pattern: str, replacement: str) -> None:
    """Change what is signed and keep the signatures."""
    before = path.read_text()
    after = re.sub(pattern, replacement, before)
    assert after != before
    path.write_text(after)


def flip_a_bit_of_the_weights(central: Central, number: int) -> None:
    flip(central.served(WEIGHTS, number=number))


def cut_the_weights_short(central: Central, number: int) -> None:
    path = central.served(WEIGHTS, number=number)
    path.write_bytes(path.read_bytes()[:-9])


def lengthen_the_weights(central: Central, number: int) -> None:
    path = central.served(WEIGHTS, number=number)
    path.write_bytes(path.read_bytes() + b"x")


def change_the_manifest(central: Central, number: int) -> None:
    rewrite(central.served(MANIFEST, number=number), '"tiny"', '"evil"')


def change_the_samples(central: Central, number: int) -> None:
    flip(central.served(SAMPLES, number=number))


def change_the_timestamp(central: Central, _: int) -> None:
    rewrite(central.newest("timestamp"), r'"version":\d+}}$', '"version":99}}')


def change_the_snapshot(central: Central, _: int) -> None:
    rewrite(central.newest("snapshot"), r'"version":(\d)}}$', r'"version":9}}')


def change_the_targets(central: Central, _: int) -> None:
    rewrite(central.newest("targets"), '"threshold":2', '"threshold":1')


def change_the_role_of_the_organ(central: Central, _: int) -> None:
    rewrite(central.newest("mob"), '"length":616', '"length":617')


def replace_the_timestamp_by_a_page(central: Central, _: int) -> None:
    central.newest("timestamp").write_bytes(b"<html>")


def make_the_timestamp_endless(central: Central, _: int) -> None:
    central.newest("timestamp").write_bytes(b" " * 20_000)


def let_the_timestamp_expire(central: Central, _: int) -> None:
    central.age_timestamp(days=7.01)


def replay_an_old_timestamp(central: Central, _: int) -> None:
    """What was true, and well signed, before the site was enrolled."""
    timestamp = Metadata[Timestamp].from_file(str(central.newest("timestamp"))).signed
    timestamp.version = 1
    central.newest("timestamp").write_bytes(sign(timestamp, central.keyring.signers("timestamp")))


def offer_a_root_of_other_keys(central: Central, _: int) -> None:
    """A second root that the first one's keys did not sign."""
    second = (central.home.metadata / "1.root.json").read_text().replace('"version":1', '"version":2')
    (central.home.metadata / "2.root.json").write_text(second)


def put_another_server_at_the_address(central: Central, _: int) -> None:
    """Somebody else's repository, complete and well signed, by other keys."""
    other = Central(central.home.path.parent / "other")
    other.publish("first")
    other.engine.dispose()
    for path in other.home.metadata.glob("[!1]*"):
        (central.home.metadata / path.name).write_bytes(path.read_bytes())


TAMPERING: list[tuple[Callable[[Central, int], None], str]] = [
    (flip_a_bit_of_the_weights, "A file is not the one that was signed"),
    (cut_the_weights_short, "shorter than the 616 bytes that were signed"),
    (lengthen_the_weights, "longer than 616 bytes"),
    (change_the_manifest, "A file is not the one that was signed"),
    (change_the_samples, "A file is not the one that was signed"),
    (change_the_timestamp, "not signed by the keys pinned at enrolment .timestamp was signed by 0/1"),
    (change_the_snapshot, "A file is not the one that was signed"),
    (change_the_targets, "A file is not the one that was signed"),
    (change_the_role_of_the_organ, "A file is not the one that was signed"),
    (replace_the_timestamp_by_a_page, "The metadata cannot be read"),
    (make_the_timestamp_endless, "A file is longer than it may be"),
    (let_the_timestamp_expire, "out of date .timestamp.json is expired"),
    (replay_an_old_timestamp, "older than what this site has seen"),
    (offer_a_root_of_other_keys, "not signed by the keys pinned at enrolment .root was signed by 0/2"),
    (put_another_server_at_the_address, "not signed by the keys pinned at enrolment"),
]
WAYS = pytest.mark.parametrize(("tamper", "message"), TAMPERING, ids=lambda value: getattr(value, "__name__", ""))


@WAYS
def test_tampering_is_refused_and_nothing_changes(
    central: Central, enrolled: Home, tamper: Callable[[Central, int], None], message: str
) -> None:
    before = kept(enrolled)
    tamper(central, 1)
    with pytest.raises(BadArtefact, match=message):
        pull(enrolled, "mob")
    assert kept(enrolled) == before


@pytest.mark.slow
@WAYS
def test_tampering_with_a_newer_release_leaves_the_older_one(
    central: Central, enrolled: Home, tamper: Callable[[Central, int], None], message: str
) -> None:
    pull(enrolled, "mob")
    before = kept(enrolled)
    central.publish("second")
    tamper(central, 2)
    with pytest.raises(BadArtefact, match=message):
        pull(enrolled, "mob")
    assert kept(enrolled) == before
    assert load_release(enrolled, "mob", 1)[0].name == "mob/1"


def test_server_that_lost_a_file_is_named(central: Central, enrolled: Home) -> None:
    before = kept(enrolled)
    central.served(WEIGHTS).unlink()
    with pytest.raises(TransferFailed, match=r"There is no file mob/1/[0-9a-f]{64}.weights.safetensors"):
        pull(enrolled, "mob")
    assert kept(enrolled) == before


def test_site_recovers_when_the_server_does(central: Central, enrolled: Home) -> None:
    good = central.newest("timestamp").read_bytes()
    make_the_timestamp_endless(central, 1)
    with pytest.raises(BadArtefact):
        pull(enrolled, "mob")
    central.newest("timestamp").write_bytes(good)
    assert pull(enrolled, "mob").downloaded


# What was signed and is wrong all the same


def signed_content(
    central: Central, tmp_path: Path, tensors: dict[str, torch.Tensor], changes: dict[str, object]
) -> dict[str, bytes]:
    """The files of a release with these tensors; `changes` make the manifest disagree with them."""
    path = tmp_path / "made" / WEIGHTS
    save_weights(path, tensors)
    truth: dict[str, object] = {
        "number": 2,
        "tensors": describe_tensors(tensors),
        "weights_bytes": path.stat().st_size,
        "weights_sha256": sha256_of(path),
    }
    first = parse_manifest(central.served(MANIFEST).read_bytes())
    manifest = first.model_copy(update=truth | changes)
    return {MANIFEST: manifest.model_dump_json().encode(), WEIGHTS: path.read_bytes(), SAMPLES: b"png"}


OTHER_SPECS = describe_tensors(tiny_weights()) | {"conv.bias": TensorSpec(shape=(5,), dtype="F32")}


@pytest.mark.parametrize(
    ("tensors", "changes", "message"),
    [
        ({"conv.bias": torch.tensor([torch.nan])}, {}, "'conv.bias' of .* holds NaN or infinite values"),
        ({"conv.bias": torch.zeros(2, 0)}, {}, r"'conv.bias' of .* dimension of size zero \[2, 0\]"),
        (tiny_weights(), {"tensors": OTHER_SPECS}, r"'conv.bias' of .* is F32 \[4\], not F32 \[5\] as expected"),
        (tiny_weights(), {"tensors": {}}, "has an unexpected tensor 'conv.bias'"),
        (tiny_weights(), {"weights_sha256": "0" * 64}, "Manifest and signature of mob/2 name different weights"),
        (tiny_weights(), {"weights_bytes": 617}, "Manifest and signature of mob/2 name different weights"),
        (tiny_weights(), {"number": 1}, "The manifest signed for mob/2 is that of mob/1"),
        (tiny_weights(), {"organ": "lung"}, "The manifest signed for mob/2 is that of lung/2"),
        (tiny_weights(), {"format": 2}, "The manifest's format cannot be used"),
    ],
    ids=["nan", "zero dimension", "shape", "names", "digest", "size", "number", "organ", "format"],
)
def test_release_that_should_not_have_been_signed_is_refused(
    central: Central,
    enrolled: Home,
    tmp_path: Path,
    tensors: dict[str, torch.Tensor],
    changes: dict[str, object],
    message: str,
) -> None:
    pull(enrolled, "mob")
    before = kept(enrolled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pydantic warns when it writes what does not fit the model
        content = signed_content(central, tmp_path, tensors, changes)
    central.sign_release(2, content)
    with pytest.raises(BadArtefact, match=message):
        pull(enrolled, "mob")
    assert kept(enrolled) == before


def test_signed_weights_with_an_oversize_header_are_refused(central: Central, enrolled: Home, tmp_path: Path) -> None:
    header = json.dumps({"conv.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust((1 << 20) + 1)
    weights = len(header).to_bytes(8, "little") + header + b"\0" * 4
    truth: dict[str, object] = {"weights_bytes": len(weights), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    content = signed_content(central, tmp_path, {"conv.bias": torch.zeros(1)}, truth)
    central.sign_release(2, content | {WEIGHTS: weights})
    with pytest.raises(BadArtefact, match="claims 1048577 bytes, more than 1048576"):
        pull(enrolled, "mob")
    assert not enrolled.releases.joinpath("mob", "2").exists()


def test_signed_manifest_that_is_too_long_is_not_fetched(central: Central, enrolled: Home, tmp_path: Path) -> None:
    content = signed_content(central, tmp_path, tiny_weights(), {"summary": "x" * (1 << 20)})
    central.sign_release(2, content)
    with pytest.raises(BadArtefact, match="The manifest of mob/2 is too long"):
        pull(enrolled, "mob")
    assert not any("manifest" in path for path in requests(enrolled))


def test_incomplete_release_does_not_count(central: Central, enrolled: Home, tmp_path: Path) -> None:
    content = signed_content(central, tmp_path, tiny_weights(), {})
    del content[SAMPLES]
    central.sign_release(2, content)
    assert pull(enrolled, "mob").manifest.name == "mob/1"


# What was changed on the site's own disk after it was pulled


@pytest.mark.parametrize("file", [MANIFEST, WEIGHTS])
def test_changed_release_is_not_loaded(central: Central, enrolled: Home, file: str) -> None:
    folder = pull(enrolled, "mob").folder
    flip(folder / file)
    with pytest.raises(BadArtefact, match=r"not the one that was signed|does not have the SHA-256"):
        load_release(enrolled, "mob", 1)


def test_weights_and_manifest_changed_together_are_not_loaded(central: Central, enrolled: Home) -> None:
    """The manifest's own digest is not what vouches for the weights: the signature over the manifest is."""
    pulled = pull(enrolled, "mob")
    weights = pulled.folder / WEIGHTS
    save_weights(weights, tiny_weights(seed=1))
    forged: Manifest = pulled.manifest.model_copy(update={"weights_sha256": sha256_of(weights)})
    (pulled.folder / MANIFEST).write_text(forged.model_dump_json(indent=1))
    with pytest.raises(BadArtefact, match="A file is not the one that was signed"):
        load_release(enrolled, "mob", 1)


@pytest.mark.parametrize("role", ["targets", "mob"])
def test_metadata_changed_on_disk_vouches_for_nothing_and_is_fetched_again(central: Central, enrolled: Home, role: str) -> None:
    pull(enrolled, "mob")
    rewrite(enrolled.metadata / f"{role}.json", r'"version":\d+}}$', '"version":99}}')
    with pytest.raises(BadArtefact, match="not signed by the keys pinned at enrolment"):
        load_release(enrolled, "mob", 1)
    assert not pull(enrolled, "mob").downloaded
    assert load_release(enrolled, "mob", 1)[0].name == "mob/1"


def test_metadata_removed_from_disk_is_fetched_again(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    (enrolled.metadata / "targets.json").unlink()
    with pytest.raises(BadArtefact, match=r"targets.json is missing; pull again"):
        load_release(enrolled, "mob", 1)
    assert not pull(enrolled, "mob").downloaded


# What happens in the life of a server


def test_renewed_metadata_changes_nothing_for_a_site(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    before = kept(enrolled)
    renew_targets(central.home, central.keyring)
    assert not pull(enrolled, "mob").downloaded
    assert kept(enrolled) == before


def test_second_organ_is_found(central: Central, enrolled: Home) -> None:
    pull(enrolled, "mob")
    central.publish("other", organ="lung")
    assert pull(enrolled, "lung").manifest.name == "lung/1"
    assert load_release(enrolled, "mob", 1)[0].name == "mob/1"


def test_leftovers_of_an_interrupted_pull_do_not_stand_in_the_way(central: Central, enrolled: Home) -> None:
    part = enrolled.releases / "mob" / ".1.part"
    part.mkdir(parents=True)
    (part / WEIGHTS).write_bytes(b"half")
    assert pull(enrolled, "mob").downloaded
    assert [path.name for path in (enrolled.releases / "mob").iterdir()] == ["1"]


def test_begun_pull_goes_on_where_it_was(central: Central, enrolled: Home) -> None:
    weights = central.served(WEIGHTS)
    content, digest = weights.read_bytes(), weights.name.partition(".")[0]
    part = enrolled.releases / "mob" / ".1.part"
    part.mkdir(parents=True)
    (part / f"{WEIGHTS}.{digest[:16]}.part").write_bytes(content[:100])
    progress = Counting()
    assert pull(enrolled, "mob", progress=progress).downloaded
    assert progress.done == progress.total
    received = [json.loads(line)["bytes_in"] for line in enrolled.audit_log.read_text().splitlines() if WEIGHTS in line]
    assert received == [len(content) - 100]


def test_server_that_is_overloaded_is_asked_again(central: Central, enrolled: Home) -> None:
    with answering(replying(b"", 503)) as url:
        enrolment = json.loads(enrolled.enrolment.read_text())
        enrolled.enrolment.write_text(json.dumps(enrolment | {"server": url}))
        before = len(requests(enrolled))
        with pytest.raises(TransferFailed, match="answered 503; run again later"):
            pull(enrolled, "mob", patience=Patience(attempts=3, first_wait=0))
    assert len(requests(enrolled)) - before == 3
