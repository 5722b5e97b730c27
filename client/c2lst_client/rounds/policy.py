"""The site's policy: which rounds it takes part in and within which limits, what it sends of a result, what else may leave.

Without a policy every round waits for somebody to approve it. Limits hold in every mode: nobody can approve beyond them
without changing the policy first.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from c2lst_client.home import Home
from c2lst_client.spots.records import Record
from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import Organ, Sha256
from c2lst_shared.wire import MIN_SPOTS, DeclineReason, Metric, RoundOffer

Mode = Literal[
    "auto",  # what is within the limits is queued at once
    "ask",  # it waits for `c2lst-client rounds approve`
    "never",
]
Export = Literal[
    "allow",  # by the rule of `privacy/export_rule.py`
    "never",
]
Window = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]  # local time


class Policy(Record):
    """What the site agrees to."""

    mode: Mode = "ask"
    max_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000  # of adaptation
    max_hours: Annotated[float, Field(gt=0, le=1_000)] = 48  # of compute for one round
    organs: tuple[Organ, ...] | None = None  # None = every organ that the site has spots of
    window: Window | None = None  # when work may run, for example 20:00-06:00; None = always
    withhold: tuple[Metric, ...] = ()  # metrics that are not sent
    min_spots: Annotated[int, Field(ge=MIN_SPOTS, le=10_000)] = MIN_SPOTS  # that every number sent stands on at least
    export: Export = "allow"  # of synthetic pairs, with `c2lst-client export`
    keep_rounds_days: Annotated[int, Field(ge=0, le=36_500)] = 30  # for which a round's folder is kept when it is over
    fab_sha256: Sha256 | None = None  # of the one Flower app that may run here; None = the one that this version names


def load_policy(home: Home) -> Policy:
    """Return the site's policy, the cautious one when none was set.

    Raises:
        BadArtefact: its file is damaged.
    """
    return Policy.load(home.policy) if home.policy.exists() else Policy()


def change_policy(home: Home, changes: dict[str, object]) -> Policy:
    """Set some fields and return the whole policy.

    Raises:
        BadInput: a value cannot be used.
        BadArtefact: the file that is there is damaged.
    """
    from pydantic import ValidationError

    try:
        policy = Policy.model_validate(load_policy(home).model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"The policy cannot have {field} = {first['input']!r}: {first['msg']}.") from None
    policy.save(home.policy)
    return policy


def objection(policy: Policy, offer: RoundOffer, organs_here: set[str], now: float) -> DeclineReason | None:
    """Return why the site does not take part, or None.

    Args:
        organs_here: that the site has spots of.
        now: seconds since the epoch.
    """
    found: list[tuple[DeclineReason, bool]] = [
        ("never", policy.mode == "never"),
        ("deadline", now >= offer.deadline.timestamp()),
        ("organ", policy.organs is not None and offer.organ not in policy.organs),
        ("no_spots", offer.organ not in organs_here),
        ("steps", offer.steps > policy.max_steps),
        ("hours", offer.hours > policy.max_hours),
    ]
    return next((reason for reason, holds in found if holds), None)


def may_run(policy: Policy, now: datetime) -> bool:
    """Say whether work may run at this local time; a window may go over midnight."""
    if policy.window is None:
        return True
    first, last = (time.fromisoformat(part) for part in policy.window.split("-"))
    clock = now.time()
    return first <= clock < last if first < last else clock >= first or clock < last
