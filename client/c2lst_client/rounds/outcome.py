"""From a site's result files to the declared numbers of `wire.RoundResult`: everything else stays in the files.

What stands on too few spots is left out here when the numbers are put together; what the site's policy withholds is left out
when they are sent, so that the policy of that day holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from c2lst_client.evaluate.denoising import DenoisingResult
from c2lst_client.evaluate.results import Arm, ConditioningResult, CotrainResult, Interval
from c2lst_client.rounds.policy import Policy
from c2lst_shared.journal import Entry
from c2lst_shared.wire import (
    MIN_SPOTS,
    ArmResult,
    ChangeEstimate,
    CorrelationEstimate,
    LossEstimate,
    Metric,
    RoundResult,
    Withheld,
    WithheldReason,
)


@dataclass(frozen=True)
class Measured:
    """What a round left at the site."""

    train_spots: int
    held_out_spots: int
    genes: int
    denoising: DenoisingResult | None = None
    conditioning: ConditioningResult | None = None
    cotrain: CotrainResult | None = None


def declare(round_id: str, measured: Measured, *, seconds: float, steps: Sequence[Entry]) -> RoundResult:
    """Return the numbers that may be sent, those on fewer than `MIN_SPOTS` spots left out.

    Args:
        seconds: of work, over all attempts.
        steps: of the round's journal, for the memory that they took.
    """
    conditioning, cotrain = measured.conditioning, measured.cotrain
    result = RoundResult(
        round_id=round_id,
        train_spots=max(measured.train_spots, MIN_SPOTS),
        held_out_spots=max(measured.held_out_spots, MIN_SPOTS),
        genes=measured.genes,
        denoising_loss=_loss(measured.denoising.loss) if measured.denoising else None,
        conditioning_r=_correlation(conditioning.r) if conditioning else None,
        concordance=_correlation(conditioning.concordance) if conditioning else None,
        arms=_arms(cotrain) if cotrain else (),
        seconds=round(seconds),
        peak_memory_mib=round(max((step.peak_rss_mib for step in steps), default=0)),
    )
    missing = [metric for metric in ("denoising_loss", "conditioning_r", "concordance") if getattr(result, metric) is None]
    missing += [metric for metric in ("mae", "change") if all(getattr(arm, metric) is None for arm in result.arms)]
    result = _without(result, missing, "not_measured")
    return _without(result, _too_few(measured, MIN_SPOTS), "few_spots")


def withhold(result: RoundResult, policy: Policy) -> RoundResult:
    """Return the result without what the site's policy keeps back."""
    result = result.model_copy(update={"min_spots": policy.min_spots})
    if result.train_spots is not None and result.held_out_spots is not None:
        counts = Measured(result.train_spots, result.held_out_spots, 1)
        result = _without(result, _too_few(counts, policy.min_spots), "few_spots")
    return _without(result, policy.withhold, "policy")


def _too_few(measured: Measured, least: int) -> list[Metric]:
    """The metrics that stand on fewer spots than `least`."""
    fewest = min(measured.train_spots, measured.held_out_spots)
    too_few: list[Metric] = []
    if fewest < least:
        too_few += ["spots", "conditioning_r", "concordance", "mae", "change"]
    if measured.train_spots + measured.held_out_spots < least:
        too_few += ["denoising_loss"]
    return too_few


def _without(result: RoundResult, metrics: Sequence[str], reason: WithheldReason) -> RoundResult:
    """Leave metrics out and say so; what is left out already keeps its reason."""
    gone = {each.metric for each in result.withheld}
    new = [metric for metric in dict.fromkeys(metrics) if metric not in gone]
    changes: dict[str, object] = {}
    for metric in new:
        if metric in {"mae", "change"}:
            arms = changes.get("arms", result.arms)
            assert isinstance(arms, tuple)  # noqa: S101
            changes["arms"] = tuple(arm.model_copy(update={metric: None}) for arm in arms)
        else:
            changes |= dict.fromkeys(_FIELDS.get(metric, (metric,)))
    withheld = (*result.withheld, *(Withheld.model_validate({"metric": metric, "reason": reason}) for metric in new))
    kept = result.model_copy(update={**changes, "withheld": withheld})
    if {"mae", "change"} <= {each.metric for each in withheld}:
        kept = kept.model_copy(update={"arms": ()})
    return kept


_FIELDS: dict[str, tuple[str, ...]] = {"spots": ("train_spots", "held_out_spots"), "peak_memory": ("peak_memory_mib",)}


def _arms(cotrain: CotrainResult) -> tuple[ArmResult, ...]:
    changes = {each.arm: each.change for each in cotrain.comparisons if each.against == "real"}
    return tuple(_arm(arm, changes.get(arm.label)) for arm in cotrain.arms)


def _arm(arm: Arm, change: Interval | None) -> ArmResult:
    return ArmResult.model_validate(
        {"kind": arm.kind, "ratio": arm.ratio, "seeds": len(arm.seeds), "mae": _loss(arm.mae), "change": _change(change)}
    )


def _loss(interval: Interval) -> LossEstimate | None:
    return LossEstimate(**interval.model_dump()) if _finite(interval) else None


def _correlation(interval: Interval) -> CorrelationEstimate | None:
    return CorrelationEstimate(**interval.model_dump()) if _finite(interval) else None


def _change(interval: Interval | None) -> ChangeEstimate | None:
    return ChangeEstimate(**interval.model_dump()) if interval is not None and _finite(interval) else None


def _finite(interval: Interval) -> bool:
    """Whether there is a number; of equal patches, for example, a correlation is none."""
    return all(math.isfinite(value) for value in (interval.value, interval.low, interval.high))
