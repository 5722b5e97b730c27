"""What messages are made of: bases, secrets, names, bounded numbers, and every word that may occur in one.

A number is finite and bounded; a figure that was measured keeps four significant digits, which is more than its interval
tells apart and too few to carry anything else.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    StringConstraints,
)

from c2lst_shared.release.manifest import NAME_PATTERN

REVEAL = {"reveal": True}  # the serialisation context under which a secret is written out


def _star(secret: SecretStr, info: SerializationInfo[Any]) -> str:
    return secret.get_secret_value() if info.context == REVEAL else str(secret)


Secret = Annotated[SecretStr, PlainSerializer(_star, return_type=str)]
SiteName = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
PublicKeyPem = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^-----BEGIN PUBLIC KEY-----\n")]
CertificatePem = Annotated[str, StringConstraints(max_length=100_000, pattern=r"^-----BEGIN CERTIFICATE-----\n")]
Assertion = Annotated[SecretStr, Field(max_length=4_000), PlainSerializer(_star, return_type=str)]

LinkState = Literal[
    "online",
    "offline",
    "never_linked",  # with the key that the site has now
    "superlink_away",  # so that nobody knows
]

ASSERTION_ALGORITHM = "ES384"  # what an EC P-384 key signs with (RFC 7518, section 3.4)
ASSERTION_SECONDS = 300  # the longest time for which an assertion may be valid

# ---- rounds -------------------------------------------------------------------------------------------------------------

RoundId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]  # made at random by the centre

RequestKind = Literal["offer", "status", "cancel"]

SiteState = Literal[
    "waiting",  # for somebody at the site to approve or decline
    "queued",
    "running",
    "finished",
    "failed",
    "declined",
    "cancelled",
    "unknown",  # the site has no such round: offer it again
]
TERMINAL: frozenset[str] = frozenset({"finished", "failed", "declined", "cancelled"})  # nothing follows after these

Stage = Literal["pull", "prepare", "backbone", "adapt", "evaluate", "synthesise", "cotrain"]

# Why work failed or stands still. An exception leaves as one of these and never as its text.
ErrorCode = Literal[
    "bad_input",  # the site's files or settings cannot be used
    "bad_artefact",  # a release or a stored file is not what was signed or written
    "network",  # the release could not be fetched
    "disk",  # full, read-only or broken
    "memory",
    "busy",  # another process works on the same folder
    "crashed",  # the process ended again and again without a word
    "hours",  # more compute than was allowed
    "deadline",  # the round's time was over
    "internal",  # anything else
]

# Why a site does not take part.
DeclineReason = Literal[
    "person",  # somebody decided so
    "never",  # the site takes part in no round
    "organ",  # not one that the site takes part with
    "no_spots",  # the site has no spots of this organ
    "steps",  # more than the site allows
    "hours",  # more than the site allows
    "deadline",  # it was over when the offer came
]

RefusalCode = Literal[
    "not_understood",  # the request is not one of this version
    "internal",
]

# What may be sent of a result; a site's policy can withhold each by this name.
Metric = Literal[
    "denoising_loss",
    "conditioning_r",
    "concordance",
    "mae",
    "change",
    "spots",
    "genes",
    "seconds",
    "peak_memory",
]
WithheldReason = Literal[
    "policy",  # the site does not send it
    "few_spots",  # it would stand on fewer spots than the site's least number
    "not_measured",  # the offer did not ask for it, or it has no value here
]

RoundArmKind = Literal[
    "mean", "real", "real+augmentation", "synthetic", "real+synthetic", "real+synthetic+augmentation"
]  # of the arms that co-training has

MIN_SPOTS = 10  # no number about fewer spots leaves a site


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else value


Figure = Annotated[float, Field(ge=-1_000, le=1_000, allow_inf_nan=False), AfterValidator(_four_digits)]
Positive = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False), AfterValidator(_four_digits)]
Correlation = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False), AfterValidator(_four_digits)]
Steps = Annotated[int, Field(ge=0, le=10_000_000)]
Seconds = Annotated[int, Field(ge=0, le=100_000_000)]


class Closed(BaseModel):
    """Part of a message: says what is declared and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outbound(Closed):
    """Something that leaves the site."""

    def body(self) -> bytes:
        """Return the bytes that are sent, secrets included.

        Raises:
            ValueError: a field holds what its type does not allow, because the message was built around its checks.
        """
        return self.model_dump_json(context=REVEAL, warnings="error").encode()

    def for_audit(self) -> dict[str, Any]:
        """Return the same content for the audit log, with stars for secrets."""
        return self.model_dump(mode="json")


class WireMessage(Outbound):
    """Something that leaves the site in the body of one POST: JSON, unless a standard asks for a form."""

    path: ClassVar[str]  # where it is posted
    media_type: ClassVar[str] = "application/json"


class RoundAnswer(Outbound):
    """Something that leaves the site as the answer to a request of a round."""


class WireReply(BaseModel):
    """Something that comes in. A newer server may say more: what this version does not know is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RoundRequest(Closed):
    """Something that the centre asks of a site in a round. What this version does not know is refused, not guessed."""

    format: Literal[1] = 1
    round_id: RoundId

    def body(self) -> bytes:
        """Return the bytes that are sent."""
        return self.model_dump_json().encode()
