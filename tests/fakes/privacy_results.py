"""A privacy measurement that found nothing, to be changed by a test."""

from __future__ import annotations

from c2lst_client.evaluate.results import Interval
from c2lst_client.privacy.results import (
    AttackResult,
    ExpressionResult,
    MembershipResult,
    NeighbourResult,
    PrivacyResult,
    Recovery,
    RocCurve,
)


def interval(value: float, half: float = 0.05) -> Interval:
    return Interval(value=value, low=max(value - half, -1), high=min(value + half, 1))


def attack(
    name: str = "an attack", *, auc: float = 0.5, half: float = 0.05, tpr: float = 0.01, others: int = 150
) -> AttackResult:
    rates = [0.0, 0.01, 0.1, 0.5, 1.0]
    return AttackResult(
        attack=name,
        auc=interval(auc, half),
        tpr=Interval(value=tpr, low=0.8 * tpr, high=1.2 * tpr),
        smallest_fpr=1 / others,
        members=100,
        non_members=others,
        units="16 parts of the slide",
        roc=RocCurve(fpr=rates, tpr=rates, low=rates, high=rates),
    )


def recovery(found: int = 0, held_out: int = 0, name: str = "lines that meet") -> Recovery:
    return Recovery(
        attack=name,
        rows=100,
        within_1_percent=found,
        within_5_percent=found,
        share=Interval(value=found / 100, low=max(found / 100 - 0.04, 0), high=found / 100 + 0.04),
        error=0.9,
        smallest_error=0.0 if found else 0.5,
        held_out=100,
        held_out_within_5_percent=held_out,
    )


def nearest(closer: float = 0.5, basis: str = "embedding") -> NeighbourResult:
    return NeighbourResult(
        basis=basis,
        closer_to_training=interval(closer),
        units="halves",
        set_size=100,
        repeats=50,
        to_training=[1.0, 2.0, 3.0],
        to_held_out=[1.5, 2.0, 2.5],
        closest=[(0, 1, 2)],
    )


def privacy_result(
    *,
    pairs: str = "p" * 64,
    adapter: str = "a" * 64,
    declared: AttackResult | None = None,
    excess: float = 0.2,
    rows: Recovery | None = None,
    known_row: AttackResult | None = None,
    neighbours: NeighbourResult | None = None,
    **changes: object,
) -> PrivacyResult:
    declared = declared or attack("calibrated loss")
    return PrivacyResult(
        pairs=pairs,
        adapter=adapter,
        members=100,
        non_members=declared.non_members,
        neighbours=[neighbours or nearest()],
        membership=MembershipResult(
            attacks=[declared, attack("loss")],
            primary=declared.attack,
            control=attack("loss of the backbone alone"),
            excess=interval(excess),
            time_steps=[500],
            noises=4,
        ),
        expression=ExpressionResult(
            recoveries=[rows or recovery()],
            attacks=[known_row or attack("distance to the nearest released row")],
            control=attack("distance to the mean"),
            excess=[interval(excess)],
        ),
        **changes,
    )
