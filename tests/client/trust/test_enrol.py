"""A site meets its server once: it checks before it sends, and sends nothing but its token and public key."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fakes.central import Central, serving

from c2lst_client.audit import verify_chain
from c2lst_client.home import Home
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pinned import load_enrolment, locked, read_pinned_root
from c2lst_server.sites.registry import list_sites
from c2lst_shared.errors import BadArtefact, BadInput, Busy, TransferFailed


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def sent(home: Home) -> list[dict[str, Any]]:
    return [json.loads(line) for line in home.audit_log.read_text().splitlines()] if home.audit_log.exists() else []


def test_site_is_known_on_both_sides_under_the_same_key(central: Central, home: Home, tmp_path: Path) -> None:
    enrolment = enrol(home, central.invite(tmp_path / "file.json"))
    with central.session() as session:
        (site,) = list_sites(session)
    assert (site.name, site.state, site.key_fingerprint) == ("hospital-a", "active", enrolment.key_fingerprint)
    assert (enrolment.site, enrolment.server) == ("hospital-a", central.url)
    assert load_enrolment(home) == enrolment


def test_private_key_is_made_on_site_and_stays_there(central: Central, home: Home, tmp_path: Path) -> None:
    enrol(home, central.invite(tmp_path / "file.json"))
    pem = home.site_key.read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    assert isinstance(key.curve, SECP384R1)
    assert stat.S_IMODE(home.site_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.site_key.parent.stat().st_mode) == 0o700
    (line,) = sent(home)
    assert sorted(line["content"]) == ["public_key_pem", "token"]
    assert "PRIVATE" not in home.audit_log.read_text()
    assert verify_chain(home.audit_log) == 1


def test_root_is_pinned_and_the_timestamp_seeded(central: Central, home: Home, tmp_path: Path) -> None:
    enrolment = enrol(home, central.invite(tmp_path / "file.json"))
    assert read_pinned_root(home, enrolment) == central.newest("root").read_bytes()
    assert (home.metadata / "timestamp.json").read_bytes() == central.newest("timestamp").read_bytes()


def test_fingerprint_from_the_telephone_is_compared(central: Central, home: Home, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    fingerprint = hashlib.sha256(central.newest("root").read_bytes()).hexdigest()
    with pytest.raises(BadArtefact, match=f"with root {fingerprint}, not {'0' * 64}"):
        enrol(home, file, fingerprint="0" * 64)
    assert sent(home) == []
    spoken = ":".join(fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
    assert enrol(home, file, fingerprint=spoken).root_sha256 == fingerprint


def tampered_root(content: dict[str, Any]) -> None:
    content["root"] = content["root"].replace('"consistent_snapshot":true', '"consistent_snapshot":false')


def tampered_root_with_its_fingerprint(content: dict[str, Any]) -> None:
    tampered_root(content)
    content["root_sha256"] = hashlib.sha256(content["root"].encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(tampered_root, BadArtefact, "does not have its fingerprint", id="root changed"),
        pytest.param(tampered_root_with_its_fingerprint, BadArtefact, "root was signed by 0/2 keys", id="root forged"),
        pytest.param(
            lambda content: content.update(timestamp=content["timestamp"].replace('"version":2', '"version":1')),
            BadArtefact,
            "timestamp was signed by 0/1 keys",
            id="timestamp changed",
        ),
        pytest.param(
            lambda content: content.update(timestamp=content["root"][:16_384]),
            BadArtefact,
            "has no root and timestamp metadata",
            id="timestamp is another role",
        ),
        pytest.param(lambda content: content.update(timestamp="{}"), BadArtefact, "cannot be read", id="empty timestamp"),
        pytest.param(lambda content: content.pop("root"), BadInput, "file .root: Field required", id="no root"),
        pytest.param(lambda content: content.update(format=2), BadInput, "not an enrolment file .format", id="newer format"),
        pytest.param(
            lambda content: content.update(server="http://central.example.org"),
            BadInput,
            "unencrypted to another machine",
            id="plain HTTP elsewhere",
        ),
    ],
)
def test_file_that_is_not_what_it_claims_is_refused_before_anything_is_sent(
    central: Central,
    home: Home,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    error: type[Exception],
    message: str,
) -> None:
    file = central.invite(tmp_path / "file.json")
    before = file.read_bytes()
    changed(file, change)
    assert file.read_bytes() != before
    with pytest.raises(error, match=message):
        enrol(home, file)
    assert sent(home) == []
    assert not home.enrolment.exists()
    assert not home.site_key.exists()


@pytest.mark.parametrize("content", [None, b"", b"\x00\xff", b"x" * 3_000_000], ids=["absent", "empty", "binary", "endless"])
def test_something_else_than_an_enrolment_file_is_refused(home: Home, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match="enrolment file"):
        enrol(home, file)


def test_complaint_about_a_file_does_not_show_its_token(central: Central, home: Home, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    token = json.loads(file.read_text())["token"]
    changed(file, lambda content: content.update(site="Not A Name", server="x"))
    with pytest.raises(BadInput, match="not an enrolment file") as refused:
        enrol(home, file)
    assert token not in str(refused.value)


def test_used_token_is_refused_in_the_words_of_the_server(central: Central, enrolled: Home, tmp_path: Path) -> None:
    second = Home(tmp_path / "second")
    with pytest.raises(BadInput, match="token was used already; ask the central operator for a new enrolment file"):
        enrol(second, tmp_path / "enrolment.json")
    assert not second.enrolment.exists()
    assert not second.pinned_root.exists()


def test_expired_token_is_refused_in_the_words_of_the_server(central: Central, home: Home, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json", now=datetime.now(UTC) - timedelta(days=8))
    with pytest.raises(BadInput, match="token expired on"):
        enrol(home, file)
    assert not home.enrolment.exists()


def test_second_enrolment_is_refused_and_changes_nothing(central: Central, enrolled: Home, tmp_path: Path) -> None:
    before = enrolled.enrolment.read_bytes(), enrolled.site_key.read_bytes(), enrolled.audit_log.read_bytes()
    with pytest.raises(BadInput, match=f"enrolled already as hospital-a at {central.url}"):
        enrol(enrolled, central.invite(tmp_path / "other.json", name="hospital-b"))
    assert (enrolled.enrolment.read_bytes(), enrolled.site_key.read_bytes(), enrolled.audit_log.read_bytes()) == before


def test_enrolment_that_did_not_get_through_is_tried_again_with_the_same_key(
    template: Central, home: Home, tmp_path: Path
) -> None:
    central = template.copy(tmp_path / "central")
    file = central.invite(tmp_path / "file.json")
    with pytest.raises(TransferFailed, match="cannot be reached"):
        enrol(home, file)
    key = home.site_key.read_bytes()
    assert not home.enrolment.exists()
    with serving(central):
        enrol(home, changed(file, lambda content: content.update(server=central.url)))
    central.engine.dispose()
    assert home.site_key.read_bytes() == key


def test_answer_that_was_lost_is_asked_for_again(central: Central, enrolled: Home, tmp_path: Path) -> None:
    """The server has registered the key; the site was stopped before it wrote its own record."""
    first = enrolled.enrolment.read_bytes()
    enrolled.enrolment.unlink()
    enrol(enrolled, tmp_path / "enrolment.json")
    assert enrolled.enrolment.read_bytes() == first


def test_enrolment_waits_for_nobody(central: Central, home: Home, tmp_path: Path) -> None:
    with locked(home), pytest.raises(Busy, match="Another c2lst command"):
        enrol(home, central.invite(tmp_path / "file.json"))


def test_home_without_enrolment_is_named(home: Home) -> None:
    with pytest.raises(BadInput, match="is not enrolled; run `c2lst-client enroll FILE`"):
        load_enrolment(home)


def test_damaged_enrolment_is_named(enrolled: Home) -> None:
    enrolled.enrolment.write_text("{}")
    with pytest.raises(BadArtefact, match=r"enrolment.json is damaged"):
        load_enrolment(enrolled)


@pytest.mark.parametrize("content", [None, b"{}"], ids=["removed", "replaced"])
def test_pinned_root_that_was_touched_is_noticed(enrolled: Home, content: bytes | None) -> None:
    enrolled.pinned_root.unlink()
    if content is not None:
        enrolled.pinned_root.write_bytes(content)
    with pytest.raises(BadArtefact, match="is not what was pinned at enrolment"):
        read_pinned_root(enrolled, load_enrolment(enrolled))
