"""A site is invited with a file that works once, for one key, for a week."""

from __future__ import annotations

import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import Central

from c2lst_server.db.models import EnrolmentToken
from c2lst_server.errors import NotThere, Refused
from c2lst_server.sites.enrolment import enrol
from c2lst_server.sites.registry import Address, invite, list_sites, read_ca, remove, resume, suspend
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import EnrolmentFile, EnrolmentRequest

pytestmark = pytest.mark.both_databases


def pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def new_key() -> str:
    return pem(ec.generate_private_key(ec.SECP384R1()).public_key())


def request(file: Path, key: str) -> EnrolmentRequest:
    return EnrolmentRequest(token=EnrolmentFile.model_validate_json(file.read_bytes()).token, public_key_pem=key)


def states(central: Central) -> dict[str, str]:
    with central.session() as session:
        return {site.name: site.state for site in list_sites(session)}


def test_enrolment_file_is_private_and_carries_what_the_site_must_trust(central: Central, tmp_path: Path) -> None:
    path = central.invite(tmp_path / "file.json")
    file = EnrolmentFile.model_validate_json(path.read_bytes())
    root = (central.home.metadata / "1.root.json").read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (file.root.encode(), file.root_sha256) == (root, hashlib.sha256(root).hexdigest())
    assert file.timestamp.encode() == central.newest("timestamp").read_bytes()
    assert timedelta(days=6.9) < file.expires - datetime.now(UTC) < timedelta(days=7)


def test_database_keeps_only_the_digest_of_the_token(central: Central, tmp_path: Path) -> None:
    token = json.loads(central.invite(tmp_path / "file.json").read_text())["token"]
    with central.session() as session:
        assert session.query(EnrolmentToken).one().token_sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert token.encode() not in central.stored()


def test_site_enrols_with_its_file(central: Central, tmp_path: Path) -> None:
    file, key = central.invite(tmp_path / "file.json"), new_key()
    with central.session() as session:
        reply = enrol(session, request(file, key))
        (site,) = list_sites(session)
    assert (reply.site, site.state, site.key_fingerprint) == ("hospital-a", "active", reply.key_fingerprint)


def test_answer_that_was_lost_is_given_again_to_the_same_key(central: Central, tmp_path: Path) -> None:
    file, key = central.invite(tmp_path / "file.json"), new_key()
    with central.session() as session:
        assert enrol(session, request(file, key)) == enrol(session, request(file, key))


def test_used_token_is_refused_to_another_key(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    with central.session() as session:
        first = enrol(session, request(file, new_key()))
        with pytest.raises(Refused, match="used already; ask the central operator"):
            enrol(session, request(file, new_key()))
        assert list_sites(session)[0].key_fingerprint == first.key_fingerprint


def test_expired_token_is_refused(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json", now=datetime.now(UTC) - timedelta(days=7, minutes=1))
    with central.session() as session, pytest.raises(Refused, match="expired on"):
        enrol(session, request(file, new_key()))
    assert states(central) == {"hospital-a": "invited"}


def test_unknown_token_is_refused(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    with central.session() as session:
        remove(session, "hospital-a")
        with pytest.raises(Refused, match="not known here"):
            enrol(session, request(file, new_key()))


def test_second_invitation_voids_the_first(central: Central, tmp_path: Path) -> None:
    first, second = (central.invite(tmp_path / name) for name in ("first.json", "second.json"))
    with central.session() as session:
        with pytest.raises(Refused, match="not known here"):
            enrol(session, request(first, new_key()))
        assert enrol(session, request(second, new_key())).site == "hospital-a"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(pem(ec.generate_private_key(ec.SECP256R1()).public_key()), id="other curve"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate().public_key()), id="other kind"),
        pytest.param("-----BEGIN PUBLIC KEY-----\nMHYw\n-----END PUBLIC KEY-----\n", id="garbage"),
    ],
)
def test_other_key_than_p384_is_refused_and_the_token_still_works(central: Central, tmp_path: Path, key: str) -> None:
    file = central.invite(tmp_path / "file.json")
    with central.session() as session:
        with pytest.raises(BadInput, match="public key"):
            enrol(session, request(file, key))
        assert enrol(session, request(file, new_key())).site == "hospital-a"


def test_suspended_site_cannot_enrol_until_it_is_invited_again(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "first.json")
    with central.session() as session:
        suspend(session, "hospital-a")
        with pytest.raises(Refused, match="not known here"):
            enrol(session, request(file, new_key()))
        with pytest.raises(BadInput, match="is suspended; remove it first"):
            central.invite(tmp_path / "second.json")
        assert resume(session, "hospital-a").state == "invited"
    file = central.invite(tmp_path / "third.json")
    with central.session() as session:
        assert enrol(session, request(file, new_key())).site == "hospital-a"


def test_suspended_site_gets_no_second_answer(central: Central, tmp_path: Path) -> None:
    file, key = central.invite(tmp_path / "file.json"), new_key()
    with central.session() as session:
        enrol(session, request(file, key))
        suspend(session, "hospital-a")
        with pytest.raises(Refused, match="Site 'hospital-a' is suspended"):
            enrol(session, request(file, key))
        assert resume(session, "hospital-a").state == "active"


def test_enrolled_site_is_not_invited_again(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    with central.session() as session:
        enrol(session, request(file, new_key()))
    with pytest.raises(BadInput, match="Site 'hospital-a' is active; remove it first"):
        central.invite(tmp_path / "second.json")
    assert not (tmp_path / "second.json").exists()


def test_site_that_is_not_there_is_named(central: Central, tmp_path: Path) -> None:
    central.invite(tmp_path / "file.json")
    with central.session() as session, pytest.raises(BadInput, match=r"no site 'nobody'; the sites are: hospital-a\."):
        suspend(session, "nobody")


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        ("Hospital A", "https://central.example.org", "cannot name a site"),
        ("hospital-a", "http://central.example.org", "unencrypted to another machine"),
        ("hospital-a", "central.example.org", "is not a URL"),
    ],
)
def test_unsuitable_invitation_is_refused_and_leaves_nothing(
    central: Central, tmp_path: Path, name: str, url: str, message: str
) -> None:
    out = tmp_path / "file.json"
    with central.session() as session, pytest.raises(BadInput, match=message):
        invite(session, central.home, name, Address(url), out=out)
    assert states(central) == {}
    assert not out.exists()


def test_ca_file_is_reduced_to_its_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    path.write_text(f"Subject: CN = c2lst\n{certificate}\n# another\n{certificate}-----BEGIN PRIVATE KEY-----\nBB\n")
    assert read_ca(path) == certificate * 2


@pytest.mark.parametrize("content", [None, "no certificate at all"])
def test_ca_file_without_certificate_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match="pass a PEM file to --ca"):
        read_ca(path)


def test_text_that_a_database_cannot_keep_is_refused(central: Central, tmp_path: Path) -> None:
    file = central.invite(tmp_path / "file.json")
    with central.session() as session:
        assert [site.name for site in list_sites(session, after="hosp\0ital")] == ["hospital-a"]
        with pytest.raises(NotThere, match="There is no site"):
            suspend(session, "hospital\0a")
        with pytest.raises(BadInput, match="cannot be read"):
            enrol(session, request(file, new_key() + "\0"))
        with pytest.raises(BadInput, match="has 321 characters, and 300 are allowed"):
            invite(session, central.home, "hospital-b", Address("https://" + "a" * 313), out=tmp_path / "other")
        assert enrol(session, request(file, new_key())).site == "hospital-a"
