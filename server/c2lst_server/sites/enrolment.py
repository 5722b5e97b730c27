"""A site presents its token and public key, once."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, Via, act_as, note
from c2lst_server.db.models import ACTIVE, INVITED, EnrolmentToken
from c2lst_server.errors import Refused
from c2lst_server.sites.registry import digest
from c2lst_shared.errors import BadInput
from c2lst_shared.wire import EnrolmentReply, EnrolmentRequest

_ASK_AGAIN = "ask the central operator for a new enrolment file"


def enrol(session: Session, request: EnrolmentRequest, now: datetime | None = None) -> EnrolmentReply:
    """Accept a site's key against its token.

    A token works for one key: a site whose first answer was lost on the way may ask again with the same key and gets the
    same answer, anybody else is refused.

    Raises:
        Refused: the token is unknown, expired, used with another key, or its site is suspended.
        BadInput: the key is not an EC P-384 public key.
    """
    now = now or datetime.now(UTC)
    fingerprint = key_fingerprint(request.public_key_pem)
    token = session.scalar(
        select(EnrolmentToken).where(EnrolmentToken.token_sha256 == digest(request.token.get_secret_value()))
    )
    if token is None:
        raise Refused(f"This enrolment token is not known here; {_ASK_AGAIN}.")
    site = token.site
    if token.used is None:
        if now >= token.expires:
            raise Refused(f"This enrolment token expired on {token.expires:%Y-%m-%d}; {_ASK_AGAIN}.")
        if site.state != INVITED:
            raise Refused(f"Site {site.name!r} is {site.state}; {_ASK_AGAIN}.")
        # Of two requests with the same token at the same moment one finds it unused.
        unused = update(EnrolmentToken).where(EnrolmentToken.id == token.id, EnrolmentToken.used.is_(None)).values(used=now)
        if session.execute(unused.returning(EnrolmentToken.id)).first() is not None:
            site.state, site.enrolled, site.last_seen = ACTIVE, now, now
            site.public_key_pem, site.key_fingerprint = request.public_key_pem, fingerprint
            act_as(session, site.name, Via.SITE)
            note(session, Action.ENROLLED, site.name, f"key {fingerprint[:16]}", now)
            session.commit()
        session.refresh(site)
    if site.key_fingerprint != fingerprint:
        raise Refused(f"This enrolment token was used already; {_ASK_AGAIN}.")
    if site.state != ACTIVE or site.enrolled is None:
        raise Refused(f"Site {site.name!r} is {site.state}; ask the central operator why.")
    return EnrolmentReply(site=site.name, enrolled=site.enrolled, key_fingerprint=fingerprint)


def key_fingerprint(pem: str) -> str:
    """Return the SHA-256 of a public key's DER bytes.

    Raises:
        BadInput: it is not an EC P-384 public key.
    """
    try:
        if "\0" in pem:  # which PostgreSQL does not keep
            raise ValueError("null character")  # noqa: TRY301
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("The public key cannot be read; make a new one by enrolling again.") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise BadInput("The public key is not an EC P-384 key; make a new one by enrolling again.")
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
