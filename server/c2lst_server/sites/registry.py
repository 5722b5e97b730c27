"""The institutions that the server knows: invite, list, suspend, remove."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, note
from c2lst_server.db.models import ACTIVE, INVITED, SUSPENDED, EnrolmentToken, Site, SiteToken
from c2lst_server.errors import NotThere
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import reading
from c2lst_server.publishing.repository import TIMESTAMP_FILE
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import NAME_PATTERN
from c2lst_shared.wire import REVEAL, EnrolmentFile, check_server_url

MAX_URL = 300  # as the database keeps it
TOKEN_LIFETIME = timedelta(days=7)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """How sites reach this server."""

    url: str
    ca_pem: str | None = None  # the only certificate authority that sites accept; None = their systems'
    insecure_http: bool = False


class SiteRecord(BaseModel):
    """One site as it is shown to the operator."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    state: str
    added: datetime
    enrolled: datetime | None
    key_fingerprint: str | None
    last_seen: datetime | None  # when it last showed who it is
    software: str | None  # the version of c2lst that it named then


def invite(
    session: Session, home: Home, name: str, address: Address, *, out: Path, now: datetime | None = None
) -> EnrolmentFile:
    """Register a site and write its one-time enrolment file to `out`; inviting again voids the earlier, unused file.

    Returns:
        What was written.

    Raises:
        BadInput: the site is enrolled already, or its name or the address cannot be used.
    """
    home.check_initialised()
    _check(name, address)
    now = now or datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    file = _enrolment_file(home, name, address, token, now + TOKEN_LIFETIME)
    site = session.scalar(select(Site).where(Site.name == name))
    if site is not None and site.state != INVITED:
        raise BadInput(f"Site {name!r} is {site.state}; remove it first with `c2lst-server sites remove {name}`.")
    if site is None:
        site = Site(name=name, state=INVITED, added=now)
        session.add(site)
    site.server = file.server
    site.tokens = [EnrolmentToken(token_sha256=digest(token), expires=file.expires)]
    note(session, Action.INVITED_SITE, name, f"until {file.expires:%Y-%m-%d %H:%M} UTC", now)
    session.flush()
    atomic.write_text(out, file.model_dump_json(indent=1, context=REVEAL), mode=0o600)
    session.commit()
    return file


def read_ca(path: Path) -> str:
    """Return the certificates of a PEM file, without the text that openssl puts around them.

    Raises:
        BadInput: the file cannot be read or has none.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The CA file {path} cannot be read: {error}; pass a PEM file to --ca.") from error
    certificates = pick_certificates(text)
    if not certificates:
        raise BadInput(f"The CA file {path} holds no certificate; pass a PEM file to --ca.")
    return certificates


def pick_certificates(text: str) -> str:
    """Return the certificates in a text, without what stands around them; empty when there is none."""
    return "".join(f"{found}\n" for found in _CERTIFICATE.findall(text.replace("\r\n", "\n")))


def list_sites(session: Session, *, limit: int | None = None, after: str = "") -> list[SiteRecord]:
    """Return sites by name: all of them, or `limit` of those whose names come after `after`."""
    after = after.partition("\0")[0]  # PostgreSQL takes no text with a null character; no name has one
    found = select(Site).where(Site.name > after).order_by(Site.name).limit(limit)
    return [SiteRecord.model_validate(site) for site in session.scalars(found)]


def show(session: Session, name: str) -> SiteRecord:
    """Return one site.

    Raises:
        NotThere: there is no such site.
    """
    return SiteRecord.model_validate(_find(session, name))


def suspend(session: Session, name: str) -> SiteRecord:
    """Stop dealing with a site until it is removed or resumed; its unused tokens are void.

    Raises:
        BadInput: there is no such site.
    """
    site = _find(session, name)
    site.state = SUSPENDED
    site.tokens = [token for token in site.tokens if token.used]
    forget_tokens(session, site)
    note(session, Action.SUSPENDED_SITE, name)
    session.commit()
    return SiteRecord.model_validate(site)


def resume(session: Session, name: str) -> SiteRecord:
    """Deal with a suspended site again.

    Raises:
        BadInput: there is no such site, or it is not suspended.
    """
    site = _find(session, name)
    if site.state != SUSPENDED:
        raise BadInput(f"Site {name!r} is {site.state}, so there is nothing to resume.")
    site.state = ACTIVE if site.enrolled else INVITED
    note(session, Action.RESUMED_SITE, name)
    session.commit()
    return SiteRecord.model_validate(site)


def remove(session: Session, name: str) -> None:
    """Forget a site and its tokens; it keeps what it pulled, which no one can take back.

    Raises:
        BadInput: there is no such site.
    """
    session.delete(_find(session, name))
    note(session, Action.REMOVED_SITE, name)
    session.commit()


def forget_tokens(session: Session, site: Site) -> None:
    """Make the site's access tokens void."""
    session.execute(delete(SiteToken).where(SiteToken.site_id == site.id))


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _find(session: Session, name: str) -> Site:
    site = session.scalar(select(Site).where(Site.name == name)) if re.fullmatch(NAME_PATTERN, name) else None
    if site is None:
        known = ", ".join(site.name for site in list_sites(session)) or "none yet"
        raise NotThere(f"There is no site {name!r}; the sites are: {known}.")
    return site


def _enrolment_file(home: Home, name: str, address: Address, token: str, expires: datetime) -> EnrolmentFile:
    repository = reading(home)
    root = repository.read(repository.newest_root_file())
    return EnrolmentFile(
        site=name,
        server=address.url.rstrip("/"),
        insecure_http=address.insecure_http,
        root=root.decode(),
        root_sha256=hashlib.sha256(root).hexdigest(),
        timestamp=repository.read(TIMESTAMP_FILE).decode(),
        ca_pem=address.ca_pem,
        token=SecretStr(token),
        expires=expires,
    )


def _check(name: str, address: Address) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise BadInput(
            f"{name!r} cannot name a site; use at most 32 lower-case letters, digits and dashes, beginning with a letter."
        )
    if len(address.url) > MAX_URL:
        raise BadInput(f"The URL has {len(address.url)} characters, and {MAX_URL} are allowed; give a shorter one.")
    try:
        check_server_url(address.url.rstrip("/"), insecure_http=address.insecure_http)
    except ValueError as error:
        raise BadInput(f"The URL cannot be used: {error}.") from error
