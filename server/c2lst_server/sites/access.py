"""A site shows who it is with what its own key signs, and gets a token for some minutes (RFC 7523, `private_key_jwt`).

Tokens are random and looked up at every request, so that a site that is suspended or removed is out at once.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta

import jwt
from pydantic import SecretStr
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, Via, act_as, note
from c2lst_server.db.models import ACTIVE, SeenAssertion, Site, SiteToken
from c2lst_server.errors import Unauthorised
from c2lst_server.sites.enrolment import key_fingerprint
from c2lst_server.sites.registry import digest, forget_tokens
from c2lst_shared.release.manifest import NAME_PATTERN
from c2lst_shared.wire import (
    ASSERTION_ALGORITHM,
    ASSERTION_SECONDS,
    AccessToken,
    KeyRotation,
    SiteReply,
    TokenRequest,
)

LIFETIME = timedelta(minutes=10)
LEEWAY = timedelta(seconds=60)  # between two clocks
CLAIMS = ["iss", "sub", "aud", "iat", "exp", "jti"]
MAX_JTI = 64
_USER_AGENT = re.compile(r"c2lst/([0-9A-Za-z][0-9A-Za-z.+-]{0,39})")
UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)  # what foreign JSON can bring about

# One sentence for whatever is wrong, so that nobody learns from it which sites there are.
_REFUSAL = "This assertion is not that of a site which is active here; check the site's clock, or enrol again."


def grant(
    session: Session, request: TokenRequest, now: datetime | None = None, *, user_agent: str | None = None
) -> AccessToken:
    """Give an access token for an assertion; an assertion works once.

    Args:
        session: of the database.
        request: with the assertion.
        now: instead of the clock's time.
        user_agent: of the request; kept is the version of c2lst that it names, which informs and is not trusted.

    Raises:
        Unauthorised: it is not signed by an active site, not for this server, too old, or was shown before.
    """
    now = now or datetime.now(UTC)
    site = _asserted(session, request.client_assertion.get_secret_value(), now)
    token = secrets.token_urlsafe(32)
    session.execute(delete(SiteToken).where(SiteToken.expires <= now))
    session.add(SiteToken(site_id=site.id, token_sha256=digest(token), expires=now + LIFETIME))
    named = _USER_AGENT.fullmatch(user_agent or "")
    site.last_seen, site.software = now, named[1] if named else None
    session.commit()
    return AccessToken(access_token=SecretStr(token), expires_in=round(LIFETIME.total_seconds()))


def authenticate(session: Session, token: str, now: datetime | None = None) -> Site:
    """Return the site that holds this access token.

    Raises:
        Unauthorised: nobody does, it has run out, or the site is not active any more.
    """
    held = session.scalar(select(SiteToken).where(SiteToken.token_sha256 == digest(token)))
    if held is None or held.expires <= (now or datetime.now(UTC)) or held.site.state != ACTIVE:
        raise Unauthorised("This access token is not known or has run out; ask for a new one.")
    return held.site


def describe(site: Site) -> SiteReply:
    """Return how the server knows an active site."""
    return SiteReply.model_validate(
        {"site": site.name, "state": site.state, "enrolled": site.enrolled, "key_fingerprint": site.key_fingerprint}
    )


def rotate_key(session: Session, site: Site, request: KeyRotation, now: datetime | None = None) -> SiteReply:
    """Put a new public key in the place of the site's; tokens that the old one got are void.

    Raises:
        Unauthorised: the proof is not an assertion of the new key.
        BadInput: it is not an EC P-384 key.
    """
    fingerprint = key_fingerprint(request.public_key_pem)
    claims = _verified(site, request.public_key_pem, request.proof.get_secret_value())
    _see(session, site, claims, now or datetime.now(UTC))
    site.public_key_pem, site.key_fingerprint = request.public_key_pem, fingerprint
    forget_tokens(session, site)
    act_as(session, site.name, Via.SITE)
    note(session, Action.ROTATED_KEY, site.name, f"key {fingerprint[:16]}", now)
    session.commit()
    return describe(site)


def _asserted(session: Session, assertion: str, now: datetime) -> Site:
    """Return the active site that signed the assertion, which then is used up."""
    try:
        name = jwt.decode(assertion, options={"verify_signature": False}).get("sub")  # whose key to verify with
    except UNREADABLE as error:
        raise Unauthorised(_REFUSAL) from error
    # what is no name is not looked up: PostgreSQL takes no text with a null character in it
    is_name = isinstance(name, str) and re.fullmatch(NAME_PATTERN, name)
    site = session.scalar(select(Site).where(Site.name == name)) if is_name else None
    if site is None or site.public_key_pem is None or site.server is None or site.state != ACTIVE:
        raise Unauthorised(_REFUSAL)
    _see(session, site, _verified(site, site.public_key_pem, assertion), now)
    return site


def _verified(site: Site, public_key_pem: str, assertion: str) -> dict[str, object]:
    """Return the claims of an assertion of `site` for this server, signed with this key (RFC 7523, section 3)."""
    try:
        claims: dict[str, object] = jwt.decode(
            assertion,
            public_key_pem,
            algorithms=[ASSERTION_ALGORITHM],
            issuer=site.name,
            subject=site.name,
            audience=f"{site.server}{TokenRequest.path}",
            leeway=LEEWAY,
            options={"require": CLAIMS, "strict_aud": True},
        )
        jti, seconds = claims["jti"], int(str(claims["exp"])) - int(str(claims["iat"]))
    except UNREADABLE as error:
        raise Unauthorised(_REFUSAL) from error
    if (
        not isinstance(jti, str)
        or not 16 <= len(jti) <= MAX_JTI
        or not (jti.isascii() and jti.isprintable())
        or seconds > ASSERTION_SECONDS
    ):
        raise Unauthorised(_REFUSAL)
    return claims


def _see(session: Session, site: Site, claims: dict[str, object], now: datetime) -> None:
    """Remember the assertion until it has run out; of two at the same moment the database lets one pass."""
    session.execute(delete(SeenAssertion).where(SeenAssertion.expires <= now))
    expires = datetime.fromtimestamp(int(str(claims["exp"])), UTC) + LEEWAY
    session.add(SeenAssertion(site_id=site.id, jti=str(claims["jti"]), expires=expires))
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise Unauthorised("This assertion was shown before; each works once.") from error
