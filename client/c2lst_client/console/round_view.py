"""A round as pages show it: its state in words and in a tone, how far it is, and what of its result is sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from c2lst_client.rounds.declared_numbers import RESULT, Declared
from c2lst_client.rounds.queue_database import Job, is_over
from c2lst_shared.web.charts import Estimate, common_range, interval_bar
from c2lst_shared.web.words import grouped
from c2lst_shared.wire import ArmResult, RoundResult

WORDS = {
    "waiting": ("warn", "waits for your decision"),
    "queued": ("idle", "in the queue"),
    "running": ("busy", "running"),
    "finished": ("good", "finished"),
    "failed": ("bad", "failed"),
    "declined": ("idle", "declined"),
    "cancelled": ("idle", "cancelled"),
}
STAGES = {
    "pull": "Fetching the release",
    "prepare": "Preparing patches",
    "backbone": "Measuring the release's model",
    "adapt": "Training the adapter",
    "evaluate": "Generating patches of held-out spots",
    "synthesise": "Generating synthetic pairs",
    "cotrain": "Training predictors",
}
ERRORS = {
    "bad_input": "the slide's files or settings cannot be used",
    "bad_artefact": "a file is not what was signed or written",
    "network": "the release could not be fetched; it is tried again",
    "disk": "the disk is full or cannot be written; it is tried again",
    "memory": "the machine ran out of memory",
    "busy": "another command works on the same folder; it is tried again",
    "crashed": "the process ended again and again without a word",
    "hours": "it took more hours than were allowed",
    "deadline": "its time was over",
    "internal": "something unforeseen",
}
REASONS = {
    "person": "somebody here decided so",
    "never": "the policy takes part in no round",
    "organ": "the policy does not take part with this organ",
    "no_spots": "there is no slide of this organ here",
    "steps": "it asks for more steps than the policy allows",
    "hours": "it asks for more hours than the policy allows",
    "deadline": "its time is over",
}
WITHHELD = {"policy": "kept back by the policy", "few_spots": "stands on too few spots", "not_measured": "not measured"}


@dataclass(frozen=True)
class RoundView:
    """One round."""

    job: Job
    tone: str
    words: str
    why: str  # of a failure or a refusal, in words; empty when there is nothing to say
    stage: str
    left: float | None  # seconds until the stage ends
    over: bool

    @property
    def received(self) -> datetime:
        """When it came."""
        return datetime.fromtimestamp(self.job.received, UTC)

    @property
    def updated(self) -> datetime:
        """When it last changed."""
        return datetime.fromtimestamp(self.job.updated, UTC)

    @property
    def tried_again(self) -> datetime | None:
        """Not before when it is tried again."""
        return datetime.fromtimestamp(self.job.not_before, UTC) if self.job.not_before > time.time() else None


def view(job: Job, now: float | None = None) -> RoundView:
    """Return a round as it stands."""
    now = now or time.time()
    tone, words = WORDS.get(job.state, ("idle", job.state))
    runs = job.state == "running"
    if runs and (job.lease_until or 0) < now:  # whose process is silent does not run
        tone, words = "warn", "waits for a worker"
    elif runs and job.cancel:
        words = "is being stopped"
    why = ERRORS.get(job.error or "", "") or REASONS.get(job.reason or "", "")
    left = max(0.0, job.eta - (now - job.updated)) if runs and job.eta is not None else None
    return RoundView(job, tone, words, why, STAGES.get(job.stage or "", "") if runs else "", left, is_over(job))


@dataclass(frozen=True)
class SentNumber:
    """One number of a result as the centre gets it, or why it does not."""

    declared: Declared
    value: str
    withheld: str


def sent_numbers(sent: RoundResult) -> list[SentNumber]:
    """Return every field of a result that is no part of `arms`."""
    reasons = {each.metric: WITHHELD[each.reason] for each in sent.withheld}
    found = []
    for declared in RESULT:
        if declared.field in {"kind", "withheld"} or declared.field.startswith("arms."):
            continue
        value = getattr(sent, declared.field)
        found.append(
            SentNumber(
                declared, _value(value, declared.unit), reasons.get(declared.metric or "genes", "") if value is None else ""
            )
        )
    return found


def _value(value: Any, unit: str) -> str:
    if value is None:
        return ""
    if hasattr(value, "low"):
        return interval_words(value)
    return f"{grouped(value)} {unit}".rstrip() if isinstance(value, int) else str(value)


def interval_words(value: Any, *, percent: bool = False) -> str:
    """Return an estimate with its interval."""
    numbers = [each * 100 if percent else each for each in (value.value, value.low, value.high)]
    form = "{:+.1f} % [{:+.1f}, {:+.1f}]" if percent else "{:.4g} [{:.4g}, {:.4g}]"
    return form.format(*numbers).replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class ArmView:
    """One comparison of a result."""

    arm: ArmResult
    label: str
    mae: str
    change: str
    bar: str  # markup


def arm_views(sent: RoundResult) -> list[ArmView]:
    """Return the comparisons with bars on one axis."""
    changes = [Estimate(arm.change.value, arm.change.low, arm.change.high) for arm in sent.arms if arm.change]
    ends = common_range(changes, zero=True) if changes else (0.0, 1.0)
    found = []
    for arm in sent.arms:
        bar = ""
        if arm.change:
            tone = "good" if arm.change.high < 0 else "bad" if arm.change.low > 0 else ""
            bar = interval_bar(Estimate(arm.change.value, arm.change.low, arm.change.high), ends, tone=tone, zero=True)
        label = arm.kind.replace("+", " + ") + (f" x{arm.ratio}" if arm.ratio is not None else "")
        found.append(
            ArmView(
                arm,
                label,
                interval_words(arm.mae) if arm.mae else "",
                interval_words(arm.change, percent=True) if arm.change else "",
                bar,
            )
        )
    return found
