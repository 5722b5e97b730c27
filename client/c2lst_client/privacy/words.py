"""The privacy measurement in lines for a terminal."""

from __future__ import annotations

from c2lst_client.evaluate.results import Interval
from c2lst_client.privacy.results import AttackResult, PrivacyResult

WIDTH = 58


def lines(result: PrivacyResult) -> list[str]:
    """Return the lines of a table: attacks with AUC and true positives, recovered rows, nearest neighbours."""
    expression, membership = result.expression, result.membership
    told = [
        f"{result.members} members (training spots), {result.non_members} non-members (held out, away from them).",
        f"{'TELLING MEMBERS FROM OTHERS BY':<{WIDTH}} {'AUC [95 %]':<20} TRUE POSITIVES AT 1 % FALSE ONES [95 %]",
        *(_attack(one, " *" * (one.attack == membership.primary)) for one in membership.attacks),
        _attack(membership.control, " (control)"),
        *(_attack(one) for one in expression.attacks),
        _attack(expression.control, " (control)"),
        f"* declared before measuring. {_coarseness(membership.declared)}",
        f"{'COMPUTING OBSERVED ROWS BY':<{WIDTH}} {'WITHIN 1 %, 5 %':<20} MEDIAN ERROR",
    ]
    told += [
        f"  {one.attack:<{WIDTH - 2}} {f'{one.within_1_percent}, {one.within_5_percent} of {one.rows}':<20} {one.error:.2f}"
        for one in expression.recoveries
    ]
    told.append(f"{'NEARER TO A TRAINING SPOT THAN TO A HELD-OUT ONE':<{WIDTH}} PROPORTION [95 %]")
    told += [f"  {one.basis:<{WIDTH - 2}} {_interval(one.closer_to_training)}" for one in result.neighbours]
    if result.dp_epsilon is not None and result.dp_delta is not None:
        told.append(
            f"Adapted with differential privacy per spot: epsilon {result.dp_epsilon:.2f} at delta {result.dp_delta:g}."
        )
    return told


def _attack(one: AttackResult, mark: str = "") -> str:
    return f"  {one.attack + mark:<{WIDTH - 2}} {_interval(one.auc):<20} {_interval(one.tpr)}"


def _coarseness(one: AttackResult) -> str:
    if one.smallest_fpr > 0.01:
        return f"With {one.non_members} non-members 1 % means none: the smallest step is {100 * one.smallest_fpr:.1f} %."
    return f"With {one.non_members} non-members false positives come in steps of {100 * one.smallest_fpr:.2f} %."


def _interval(one: Interval) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"
