"""Every field that leaves a site in answer to a round, in plain words; a test compares these tables with `wire`.

`leaving` says of each whether it would be sent: an offer need not ask for it, and the site's policy may keep it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from c2lst_client.rounds.policy import Policy
from c2lst_shared.wire import Metric, RoundOffer

Fate = Literal["sent", "withheld", "not_asked"]


@dataclass(frozen=True)
class Declared:
    """One field of a message."""

    field: str  # its name there; `arms.mae` is in each of the parts of `arms`
    label: str
    about: str
    metric: Metric | None = None  # the name by which a policy keeps it back; None = it is part of every such message
    asked_by: Literal["evaluate", "cotrain"] | None = None  # the part of an offer without which it does not exist
    unit: str = ""


@dataclass(frozen=True)
class Leaving:
    """What becomes of it."""

    declared: Declared
    fate: Fate


_ARMS: Literal["cotrain"] = "cotrain"
RESULT = (
    Declared("kind", "Kind of message", "The word “result”."),
    Declared("round_id", "Round", "The number that the centre gave the round."),
    Declared("min_spots", "Least number of spots", "How many spots every number stands on at least, by your policy."),
    Declared("train_spots", "Training spots", "How many spots the adapter was trained on.", "spots"),
    Declared("held_out_spots", "Held-out spots", "How many spots were kept aside to measure on.", "spots"),
    Declared("genes", "Genes", "How many genes were used. Not which.", "genes"),
    Declared(
        "denoising_loss",
        "Distance from the centre's tissue",
        "How well the centre's model fits your patches before any training: one mean error with its interval.",
        "denoising_loss",
    ),
    Declared(
        "conditioning_r",
        "Does tissue follow expression",
        "Correlation between the nuclei in generated and in real patches of held-out spots, with its interval.",
        "conditioning_r",
        "evaluate",
    ),
    Declared(
        "concordance",
        "Agreement in level and spread",
        "The same correlation, lowered where level or spread differ, with its interval.",
        "concordance",
        "evaluate",
    ),
    Declared("arms.kind", "Comparisons", "What each predictor was trained on, a word of a fixed list.", None, _ARMS),
    Declared("arms.ratio", "Synthetic pairs per spot", "How many were mixed in, for each comparison.", None, _ARMS),
    Declared("arms.seeds", "Repeats", "How often each was trained.", None, _ARMS),
    Declared("arms.mae", "Error of prediction", "Mean error on held-out spots with its interval, for each.", "mae", _ARMS),
    Declared(
        "arms.change",
        "Change of that error",
        "In per cent of training on real spots alone, with its interval.",
        "change",
        _ARMS,
    ),
    Declared("seconds", "Time", "How long the work took, in seconds.", "seconds", unit="s"),
    Declared("peak_memory_mib", "Memory", "The most memory that it used, in MiB.", "peak_memory", unit="MiB"),
    Declared("withheld", "What is missing", "Which of these numbers are kept back, and whether for policy or few spots."),
)
STATUS = (
    Declared("kind", "Kind of message", "The word “status”."),
    Declared("round_id", "Round", "The number that the centre gave the round."),
    Declared("state", "State", "Waiting, queued, running, finished, failed, declined or cancelled."),
    Declared("stage", "Stage", "Which step runs, a word of a fixed list."),
    Declared("step", "Step", "How far the step is."),
    Declared("steps", "Steps", "How long the step is."),
    Declared("eta_seconds", "Time left", "How long the step still takes, in seconds."),
    Declared("error", "Kind of error", "Why it failed, a word of a fixed list; never the words of the error."),
    Declared("reason", "Reason", "Why the site does not take part, a word of a fixed list."),
)


def leaving(offer: RoundOffer, policy: Policy) -> Sequence[Leaving]:
    """Say of each field of a result whether this policy lets it leave in answer to this offer."""
    return [Leaving(declared, _fate(declared, offer, policy)) for declared in RESULT]


def _fate(declared: Declared, offer: RoundOffer, policy: Policy) -> Fate:
    if declared.asked_by is not None and not getattr(offer, declared.asked_by):
        return "not_asked"
    return "withheld" if declared.metric in policy.withhold else "sent"
