"""Everything that leaves a site, all of it. Read this file to know what may.

A `WireMessage` is posted by the site's one HTTP client; a `RoundAnswer` answers a request of a round, through the site's one
gate. Nothing else leaves, apart from the paths of what is downloaded. Numbers are bounded, lists are short, strings come from
the closed vocabularies of `terms.py`. Secrets (tokens and what is signed to get one) print as stars everywhere but in the
bytes that are sent.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field, TypeAdapter

from c2lst_shared.wire.terms import (
    MIN_SPOTS,
    REVEAL,
    Assertion,
    Closed,
    Correlation,
    DeclineReason,
    ErrorCode,
    Figure,
    Metric,
    Positive,
    PublicKeyPem,
    RefusalCode,
    RoundAnswer,
    RoundArmKind,
    RoundId,
    Seconds,
    Secret,
    SiteState,
    Stage,
    Steps,
    WireMessage,
    WithheldReason,
)

MAX_ANSWER_BYTES = 16_384  # of any answer in a round; the longest that the models allow is shorter


class EnrolmentRequest(WireMessage):
    """The site presents its one-time token and its public key; the private key stays where it was made."""

    path: ClassVar[str] = "/api/v1/sites/enrol"

    token: Secret
    public_key_pem: PublicKeyPem  # EC P-384, SubjectPublicKeyInfo


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


# ---- rounds -------------------------------------------------------------------------------------------------------------


class RoundStatus(RoundAnswer):
    """How far a round is at the site."""

    kind: Literal["status"] = "status"
    round_id: RoundId
    state: SiteState
    stage: Stage | None = None  # of work that runs
    step: Steps | None = None  # of the stage
    steps: Steps | None = None  # that the stage has
    eta_seconds: Seconds | None = None  # until the stage ends
    error: ErrorCode | None = None  # why it failed, or why it waits in the queue to be tried again
    reason: DeclineReason | None = None


class LossEstimate(Closed):
    """A mean that cannot be negative, with its 95 % interval."""

    value: Positive
    low: Figure
    high: Figure


class CorrelationEstimate(Closed):
    """A correlation with its 95 % interval."""

    value: Correlation
    low: Correlation
    high: Correlation


class ChangeEstimate(Closed):
    """A relative change with its 95 % interval; negative is better."""

    value: Figure
    low: Figure
    high: Figure


class ArmResult(Closed):
    """What one arm of co-training reached on the held-out spots."""

    kind: RoundArmKind
    ratio: Annotated[int, Field(ge=1, le=1_000)] | None = None  # synthetic pairs per training spot
    seeds: Annotated[int, Field(ge=0, le=100)]
    mae: LossEstimate | None = None  # z-score units
    change: ChangeEstimate | None = None  # of the MAE, against the arm that trains on real spots alone


class Withheld(Closed):
    """A metric that is not in the result, and why."""

    metric: Metric
    reason: WithheldReason


class RoundResult(RoundAnswer):
    """What a site measured in a round: the declared numbers and nothing else. A metric that is None is among `withheld`."""

    kind: Literal["result"] = "result"
    round_id: RoundId
    min_spots: Annotated[int, Field(ge=MIN_SPOTS, le=10_000)] = MIN_SPOTS  # that every metric stands on at least
    train_spots: Annotated[int, Field(ge=MIN_SPOTS, le=10_000_000)] | None = None
    held_out_spots: Annotated[int, Field(ge=MIN_SPOTS, le=10_000_000)] | None = None
    genes: Annotated[int, Field(ge=1, le=100_000)] | None = None  # in the panel
    denoising_loss: LossEstimate | None = None  # of the backbone on the site's own patches: how far they are from its corpus
    conditioning_r: CorrelationEstimate | None = None
    concordance: CorrelationEstimate | None = None
    arms: Annotated[tuple[ArmResult, ...], Field(max_length=16)] = ()
    seconds: Seconds | None = None
    peak_memory_mib: Annotated[int, Field(ge=0, le=100_000_000)] | None = None
    withheld: Annotated[tuple[Withheld, ...], Field(max_length=16)] = ()


class RoundRefusal(RoundAnswer):
    """The request could not be answered."""

    kind: Literal["refusal"] = "refusal"
    code: RefusalCode


Answer = Annotated[RoundStatus | RoundResult | RoundRefusal, Field(discriminator="kind")]
_ANSWERS: TypeAdapter[RoundStatus | RoundResult | RoundRefusal] = TypeAdapter(Answer)


def parse_answer(body: bytes) -> RoundStatus | RoundResult | RoundRefusal:
    """Read an answer; the gate of the site and the centre both do, so that nothing else passes either.

    Raises:
        ValueError: it is too long, or no answer of this version.
    """
    if len(body) > MAX_ANSWER_BYTES:
        raise ValueError(f"an answer has at most {MAX_ANSWER_BYTES} bytes, not {len(body)}")
    return _ANSWERS.validate_json(body)
