"""Every message that crosses the boundary of a site, in both directions. Read this file to know what may leave.

A `WireMessage` leaves the site: the site's one HTTP client sends nothing else, apart from the paths of what it downloads.
A `WireReply` comes in. Secrets (tokens and what is signed to get one) print as stars everywhere but in the bytes that are sent.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    StringConstraints,
    model_validator,
)

from c2lst_shared.release.manifest import NAME_PATTERN, Organ, Sha256

REVEAL = {"reveal": True}  # the serialisation context under which a secret is written out


def _star(secret: SecretStr, info: SerializationInfo[Any]) -> str:
    return secret.get_secret_value() if info.context == REVEAL else str(secret)


Secret = Annotated[SecretStr, PlainSerializer(_star, return_type=str)]
SiteName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
PublicKeyPem = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^-----BEGIN PUBLIC KEY-----\n")]
CertificatePem = Annotated[str, StringConstraints(max_length=100_000, pattern=r"^-----BEGIN CERTIFICATE-----\n")]


class WireMessage(BaseModel):
    """Something that leaves the site, in the body of one POST: JSON, unless a standard asks for a form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ClassVar[str]  # where it is posted
    media_type: ClassVar[str] = "application/json"

    def body(self) -> bytes:
        """Return the bytes that are sent, secrets included."""
        return self.model_dump_json(context=REVEAL).encode()

    def for_audit(self) -> dict[str, Any]:
        """Return the same content for the audit log, with stars for secrets."""
        return self.model_dump(mode="json")


class EnrolmentRequest(WireMessage):
    """The site presents its one-time token and its public key; the private key stays where it was made."""

    path: ClassVar[str] = "/api/v1/sites/enrol"

    token: Secret
    public_key_pem: PublicKeyPem  # EC P-384, SubjectPublicKeyInfo


ASSERTION_ALGORITHM = "ES384"  # what an EC P-384 key signs with (RFC 7518, section 3.4)
ASSERTION_SECONDS = 300  # the longest time for which an assertion may be valid
Assertion = Annotated[SecretStr, Field(max_length=4_000), PlainSerializer(_star, return_type=str)]


class TokenRequest(WireMessage):
    """The site asks for an access token with an assertion that its own key signed (RFC 6749, 4.4; RFC 7523, 2.2)."""

    path: ClassVar[str] = "/api/v1/token"
    media_type: ClassVar[str] = "application/x-www-form-urlencoded"

    grant_type: Literal["client_credentials"] = "client_credentials"
    client_assertion_type: Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"] = (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    client_assertion: Assertion

    def body(self) -> bytes:
        """Return the form that the standard asks for."""
        return urlencode(self.model_dump(context=REVEAL)).encode()


class KeyRotation(WireMessage):
    """The site puts a new public key in the place of its old one; an assertion of the new key shows that it has it."""

    path: ClassVar[str] = "/api/v1/sites/me/key"

    public_key_pem: PublicKeyPem
    proof: Assertion


class WireReply(BaseModel):
    """Something that comes in. A newer server may say more: what this version does not know is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EnrolmentReply(WireReply):
    """The server knows the site from now on."""

    site: SiteName
    enrolled: datetime
    key_fingerprint: Sha256  # of the public key's DER bytes, to be compared by telephone where that matters


class AccessToken(WireReply):
    """What a site shows with its next requests (RFC 6749, section 5.1)."""

    access_token: Secret
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: Annotated[int, Field(ge=1)]  # seconds


class SiteReply(WireReply):
    """How the server knows the site that asks."""

    site: SiteName
    state: str
    enrolled: AwareDatetime
    key_fingerprint: Sha256


class ReleaseSummary(WireReply):
    """One line of the catalogue."""

    organ: Organ
    number: Annotated[int, Field(ge=1)]
    created: datetime
    preset: str
    image_px: int
    patch_um: float
    weights_bytes: int
    weights_sha256: Sha256
    summary: str

    @property
    def name(self) -> str:
        """The release's name, for example `mob/1`."""
        return f"{self.organ}/{self.number}"


class Catalogue(WireReply):
    """All releases that the server offers, by organ and rising number."""

    releases: list[ReleaseSummary]


class Health(WireReply):
    """The service answers, and what it needs is there."""

    status: Literal["ok"]
    time: AwareDatetime  # the server's clock
    timestamp_expires: AwareDatetime  # after this sites refuse what is served


class Problem(WireReply):
    """What the server answers when it refuses (RFC 9457); `detail` says what the caller can do."""

    type: str = "about:blank"
    title: str = ""  # the status in words
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    detail: str
    error: str | None = None  # the code of an OAuth refusal (RFC 6749, section 5.2)


class EnrolmentFile(WireReply):
    """What a site needs to trust a server; carried to the site by hand, works once, and is a secret until it was used."""

    format: Literal[1] = 1
    site: SiteName
    server: str  # the base URL, without a slash at the end
    insecure_http: bool = False  # allows plain HTTP to a host other than this machine
    root: Annotated[str, StringConstraints(max_length=512_000)]  # the exact text of the current root metadata
    root_sha256: Sha256
    timestamp: Annotated[str, StringConstraints(max_length=16_384)]  # the current timestamp metadata: older ones are replays
    ca_pem: CertificatePem | None = None  # the only certificate authority that the site accepts; None = the system's
    token: Secret
    expires: AwareDatetime  # of the token

    @model_validator(mode="after")
    def _url_is_safe(self) -> EnrolmentFile:
        check_server_url(self.server, insecure_http=self.insecure_http)
        return self


def check_server_url(url: str, *, insecure_http: bool = False) -> None:
    """Check that `url` can be a server's base URL.

    Raises:
        ValueError: it is not a plain http(s) URL, or is plain HTTP to another machine without `insecure_http`.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL like https://central.example.org")
    if parts.query or parts.fragment or parts.username or parts.password or url.endswith("/") or not url.isascii():
        raise ValueError(f"{url!r} must be a plain base URL: no user, query, fragment or slash at the end")
    if parts.scheme == "http" and not insecure_http and not is_loopback(parts.hostname):
        raise ValueError(f"{url!r} would send the enrolment token unencrypted to another machine; use https")


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
