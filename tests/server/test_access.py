"""A site gets in with what its key signed for this server, once, and is out the moment it is suspended."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.central import Central
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from c2lst_server.db.models import SeenAssertion, Site, SiteToken
from c2lst_server.errors import Unauthorised
from c2lst_server.sites.access import LIFETIME, authenticate, grant, rotate_key
from c2lst_server.sites.enrolment import enrol
from c2lst_server.sites.registry import remove, resume, suspend
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import EnrolmentFile, EnrolmentRequest, KeyRotation, TokenRequest

pytestmark = pytest.mark.both_databases

AUDIENCE = "http://127.0.0.1:9/api/v1/token"


def new_key() -> EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def enrolled(central: Central, folder: Path, name: str) -> EllipticCurvePrivateKey:
    key, file = new_key(), central.invite(folder / name, name=name)
    token = EnrolmentFile.model_validate_json(file.read_bytes()).token
    with central.session() as session:
        enrol(session, EnrolmentRequest(token=token, public_key_pem=pem(key)))
    return key


@pytest.fixture
def key(central: Central, tmp_path: Path) -> EllipticCurvePrivateKey:
    return enrolled(central, tmp_path, "hospital-a")


def claims(**changed: Any) -> dict[str, Any]:
    """Usual claims but for what is changed: a timedelta counts from the moment of the call, and None leaves one out."""
    now = int(time.time())
    usual = {"iss": "hospital-a", "sub": "hospital-a", "aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": "j" * 24}
    meant = {name: value for name, value in (usual | changed).items() if value is not None}
    return {name: now + int(v.total_seconds()) if isinstance(v, timedelta) else v for name, v in meant.items()}


def signed(key: Any, **changed: Any) -> TokenRequest:
    """Signed below the level at which the library looks at claims, so that wrong ones are signed too."""
    assertion = jwt.api_jws.encode(json.dumps(claims(**changed)).encode(), key, algorithm="ES384")
    return TokenRequest(client_assertion=SecretStr(assertion))


def granted(central: Central, request: TokenRequest) -> str:
    with central.session() as session:
        return grant(session, request).access_token.get_secret_value()


def who(central: Central, token: str, now: datetime | None = None) -> str:
    with central.session() as session:
        return authenticate(session, token, now).name


def test_site_gets_a_token_that_names_it(central: Central, key: EllipticCurvePrivateKey) -> None:
    assert who(central, granted(central, signed(key))) == "hospital-a"


def test_database_keeps_only_the_digest_of_an_access_token(central: Central, key: EllipticCurvePrivateKey) -> None:
    token = granted(central, signed(key))
    assert token.encode() not in central.stored()


def test_assertion_works_once(central: Central, key: EllipticCurvePrivateKey) -> None:
    request = signed(key)
    granted(central, request)
    with pytest.raises(Unauthorised, match="shown before"):
        granted(central, request)
    assert granted(central, signed(key, jti="another of sixteen"))


def test_replay_is_remembered_for_as_long_as_it_could_work(central: Central, key: EllipticCurvePrivateKey) -> None:
    granted(central, signed(key))
    later = datetime.now(UTC) + timedelta(hours=1)
    with central.session() as session:
        grant(session, signed(key, jti="k" * 24), later)
        assert [seen.jti for seen in session.query(SeenAssertion)] == ["k" * 24]  # the first had run out


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"exp": timedelta(minutes=-5), "iat": timedelta(minutes=-6)}, id="expired"),
        pytest.param({"iat": timedelta(minutes=60), "exp": timedelta(minutes=61)}, id="from the future"),
        pytest.param({"exp": timedelta(hours=1)}, id="valid for too long"),
        pytest.param({"aud": "https://elsewhere.example.org/api/v1/token"}, id="for another server"),
        pytest.param({"aud": [AUDIENCE, "https://elsewhere.example.org"]}, id="for two servers"),
        pytest.param({"iss": "hospital-b"}, id="issued by another"),
        pytest.param({"sub": "hospital-z", "iss": "hospital-z"}, id="a site that is not known"),
        pytest.param({"jti": None}, id="no jti"),
        pytest.param({"jti": "short"}, id="a jti that can be guessed"),
        pytest.param({"jti": "j" * 65}, id="a jti that is too long"),
        pytest.param({"jti": 7}, id="a jti that is a number"),
        pytest.param({"exp": None}, id="no end"),
        pytest.param({"iat": None}, id="no beginning"),
        pytest.param({"aud": None}, id="for nobody"),
        pytest.param({"sub": None}, id="about nobody"),
        pytest.param({"sub": ["hospital-a"]}, id="about a list"),
    ],
)
def test_other_claims_are_refused(central: Central, key: EllipticCurvePrivateKey, changed: dict[str, Any]) -> None:
    with pytest.raises(Unauthorised, match="not that of a site which is active here"):
        granted(central, signed(key, **changed))


def hmac_with_the_public_key(key: EllipticCurvePrivateKey) -> str:
    """The old trick: a public key used as a shared secret."""

    def part(content: bytes) -> bytes:
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    head = part(json.dumps({"alg": "HS384", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims()).encode())
    return (head + b"." + part(hmac.new(pem(key).encode(), head, hashlib.sha384).digest())).decode()


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda _: jwt.encode(claims(), new_key(), algorithm="ES384"), id="another key"),
        pytest.param(lambda _: jwt.encode(claims(), None, algorithm="none"), id="no signature"),
        pytest.param(hmac_with_the_public_key, id="the public key as a secret"),
        pytest.param(lambda key: jwt.encode(claims(), key, algorithm="ES384")[:-2], id="cut off"),
        pytest.param(lambda _: "a.b.c", id="nonsense"),
        pytest.param(lambda _: "W10." * 500, id="many parts"),
    ],
)
def test_forged_assertion_is_refused(
    central: Central, key: EllipticCurvePrivateKey, forge: Callable[[EllipticCurvePrivateKey], str]
) -> None:
    with pytest.raises(Unauthorised):
        granted(central, TokenRequest(client_assertion=SecretStr(forge(key))))
    with central.session() as session:
        assert session.query(SiteToken).count() == 0


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(st.binary(max_size=60), min_size=3, max_size=3)))
def test_any_text_is_an_assertion_or_refused(template: Central, text: str | list[bytes]) -> None:
    if isinstance(text, list):
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in text)
    with template.session() as session, pytest.raises(Unauthorised):
        grant(session, TokenRequest(client_assertion=SecretStr(text)))


def test_one_site_cannot_act_as_another(central: Central, key: EllipticCurvePrivateKey, tmp_path: Path) -> None:
    other = enrolled(central, tmp_path, "hospital-b")
    with pytest.raises(Unauthorised):
        granted(central, signed(other))  # says that it is hospital-a
    mine = granted(central, signed(other, iss="hospital-b", sub="hospital-b"))
    assert who(central, mine) == "hospital-b"


def test_token_runs_out(central: Central, key: EllipticCurvePrivateKey) -> None:
    token = granted(central, signed(key))
    with pytest.raises(Unauthorised, match="has run out"):
        who(central, token, datetime.now(UTC) + LIFETIME)


def test_made_up_token_is_refused(central: Central) -> None:
    with pytest.raises(Unauthorised, match="not known"):
        who(central, "x" * 43)


def test_suspended_site_is_out_at_once_and_resumed_needs_a_new_token(central: Central, key: EllipticCurvePrivateKey) -> None:
    token = granted(central, signed(key))
    with central.session() as session:
        suspend(session, "hospital-a")
    with pytest.raises(Unauthorised):
        who(central, token)
    with pytest.raises(Unauthorised, match="not that of a site which is active"):
        granted(central, signed(key, jti="k" * 24))
    with central.session() as session:
        resume(session, "hospital-a")
    with pytest.raises(Unauthorised):
        who(central, token)
    assert who(central, granted(central, signed(key, jti="l" * 24))) == "hospital-a"


def test_removed_site_is_out_at_once(central: Central, key: EllipticCurvePrivateKey) -> None:
    token = granted(central, signed(key))
    with central.session() as session:
        remove(session, "hospital-a")
        assert (session.query(SiteToken).count(), session.query(SeenAssertion).count()) == (0, 0)
    with pytest.raises(Unauthorised):
        who(central, token)


def rotation(key: Any, proof_key: Any, **changed: Any) -> KeyRotation:
    return KeyRotation(public_key_pem=pem(key), proof=signed(proof_key, **({"jti": "p" * 24} | changed)).client_assertion)


def rotated(central: Central, request: KeyRotation) -> str:
    with central.session() as session:
        return rotate_key(session, session.query(Site).one(), request).key_fingerprint


def test_new_key_takes_the_place_of_the_old_one(central: Central, key: EllipticCurvePrivateKey) -> None:
    token, new = granted(central, signed(key)), new_key()
    rotated(central, rotation(new, new))
    with pytest.raises(Unauthorised):
        who(central, token)  # what the old key got is void
    with pytest.raises(Unauthorised):
        granted(central, signed(key, jti="k" * 24))
    assert who(central, granted(central, signed(new, jti="l" * 24))) == "hospital-a"


def test_key_that_the_site_does_not_have_is_not_registered(central: Central, key: EllipticCurvePrivateKey) -> None:
    with pytest.raises(Unauthorised):
        rotated(central, rotation(new_key(), key))
    assert granted(central, signed(key))


def test_key_of_another_kind_is_not_registered(central: Central, key: EllipticCurvePrivateKey) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(BadInput, match="not an EC P-384 key"):
        rotated(central, KeyRotation(public_key_pem=pem(other), proof=signed(key).client_assertion))


@pytest.mark.parametrize("changed", [{"sub": "hospital\0a"}, {"jti": "j" * 20 + "\0"}, {"jti": "j" * 20 + "\ud800"}])
def test_text_that_a_database_cannot_keep_is_refused(
    central: Central, key: EllipticCurvePrivateKey, changed: dict[str, str]
) -> None:
    with pytest.raises(Unauthorised):
        granted(central, signed(key, **changed))
    assert who(central, granted(central, signed(key))) == "hospital-a"
