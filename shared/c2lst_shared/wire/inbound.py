"""Everything that comes in to a site: answers of the server, the enrolment file, and requests of rounds."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, model_validator

from c2lst_shared.release.manifest import Organ, Sha256
from c2lst_shared.wire.terms import CertificatePem, LinkState, RoundRequest, Secret, SiteName, WireReply

MAX_REQUEST_BYTES = 16_384  # of any request in a round


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


class LinkReply(WireReply):
    """How the centre sees the node of the site that asks; of other sites nothing is said."""

    site: SiteName
    state: LinkState
    since: AwareDatetime | None  # of `offline`: when the centre last heard of the node
    time: AwareDatetime  # the server's clock: so it was then


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
    """The service answers; a stranger learns no more than that."""

    status: Literal["ok"]
    time: AwareDatetime  # the server's clock, which every answer's Date header tells as well


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


# ---- rounds -------------------------------------------------------------------------------------------------------------


class RoundOffer(RoundRequest):
    """Work that a site may take on, with all that decides what comes of it."""

    kind: Literal["offer"] = "offer"
    organ: Organ
    release: Annotated[int, Field(ge=1, le=1_000_000)]  # number of the organ's release
    fraction: Annotated[float, Field(ge=0.01, le=0.99)] = 0.25  # of the spots that train
    split: Literal["random", "blocked"] = "random"
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    genes: Annotated[int, Field(ge=1, le=20_000)] | None = None  # in the panel; the release suggests a number
    steps: Annotated[int, Field(ge=1, le=1_000_000)]  # of adaptation
    evaluate: bool = True  # whether morphology follows expression
    cotrain: bool = True  # whether synthetic pairs help
    seeds: Annotated[int, Field(ge=1, le=100)] | None = None  # of co-training; the release suggests a number
    ratios: Annotated[tuple[Annotated[int, Field(ge=1, le=1_000)], ...], Field(min_length=1, max_length=8)] | None = None
    hours: Annotated[float, Field(gt=0, le=1_000)]  # of compute that the round may take at each site
    deadline: AwareDatetime  # what is not finished then is given up

    @property
    def release_name(self) -> str:
        """The release's name, for example `mob/1`."""
        return f"{self.organ}/{self.release}"


class QueryStatus(RoundRequest):
    """Where does the round stand? A finished one is answered with its result."""

    kind: Literal["status"] = "status"


class Cancel(RoundRequest):
    """Give the round up."""

    kind: Literal["cancel"] = "cancel"


Request = Annotated[RoundOffer | QueryStatus | Cancel, Field(discriminator="kind")]
_REQUESTS: TypeAdapter[RoundOffer | QueryStatus | Cancel] = TypeAdapter(Request)


def parse_request(body: bytes) -> RoundOffer | QueryStatus | Cancel:
    """Read a request of a round.

    Raises:
        ValueError: it is too long, or no request of this version.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise ValueError(f"a request has at most {MAX_REQUEST_BYTES} bytes, not {len(body)}")
    return _REQUESTS.validate_json(body)
