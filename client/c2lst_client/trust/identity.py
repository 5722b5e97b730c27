"""The site's own key: made here, kept here, and what the site signs with it (EC P-384)."""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact
from c2lst_shared.wire import ASSERTION_ALGORITHM, TokenRequest

VALID_SECONDS = 60  # of an assertion: it is shown at once


def take_key(path: Path) -> EllipticCurvePrivateKey:
    """Return the key at `path`; it is made when it is not there.

    Raises:
        BadArtefact: the file is no such key.
    """
    if not path.exists():
        pem = generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_bytes(path, pem, mode=0o600)
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise BadArtefact(f"The site's key {path} cannot be read; move it away to make a new one.") from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP384R1):
        raise BadArtefact(f"The site's key {path} is not an EC P-384 key; move it away to make a new one.")
    return key


def public_pem(key: EllipticCurvePrivateKey) -> str:
    """Return the public half, which may leave the site."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_fingerprint(key: EllipticCurvePrivateKey) -> str:
    """Return the SHA-256 of the public half's DER bytes."""
    return hashlib.sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def sign_assertion(key: EllipticCurvePrivateKey, site: str, server: str) -> SecretStr:
    """Return a short-lived statement of the site to this server alone, good for one use (RFC 7523, section 3)."""
    now = int(time.time())
    claims = {
        "iss": site,
        "sub": site,
        "aud": f"{server}{TokenRequest.path}",
        "iat": now,
        "exp": now + VALID_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    return SecretStr(jwt.encode(claims, key, algorithm=ASSERTION_ALGORITHM))
