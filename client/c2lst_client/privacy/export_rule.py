"""The rule by which synthetic pairs may leave: `allowed`, `flagged` (told, and asked) or `blocked`. docs/export.md states it.

It asks three questions. Can an observed row be computed? Can a spot be told to have trained the adapter, or to be in the
pairs? Do patches lie suspiciously near to training patches? What is blocked must be shown, so it goes by the end of an
interval that speaks for the adapter; what cannot be excluded is flagged.
"""

from __future__ import annotations

from typing import Literal

from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.privacy.results import PLAIN, AttackResult, NeighbourResult, PrivacyResult, Recovery

# Whoever is shown a member and a non-member and must say which is which is right in AUC of all cases, by guessing in 0.5.
# Up to 0.6 the answer is still wrong in four of ten cases, too often to act on for any single spot.
BLOCKED_AUC = 0.6
# An interval that reaches this far has not excluded an attack that is right in three of four cases: too few non-members.
FLAGGED_AUC = 0.75
# True positives at 1 % false positives: when found, a member is then ten times as likely as a non-member to be found.
BLOCKED_TPR = 0.1
FPR = 0.01  # the rule asks for true positives only where this can be told apart from none: 100 non-members
# Pairs are made from training spots' expression, so that their patches look like that tissue; a little nearer is expected.
FLAGGED_CLOSER = 0.6

Verdict = Literal["allowed", "flagged", "blocked"]


class Decision(Result):
    """What the rule says, and why."""

    verdict: Verdict
    reasons: list[str]  # sentences; the weightiest first


def decide(result: PrivacyResult, *, observed_allowed: bool = False) -> Decision:
    """Apply the rule.

    Args:
        result: of the pairs that are to leave.
        observed_allowed: the user lets observed expression leave in so many words; the rule then asks about the adapter alone.
    """
    found = _about_membership(result)
    if not observed_allowed:
        found = [*_about_rows(result), *found]
    found += [
        _flag(f"{_closer(one)}; look at the closest ones.") for one in result.neighbours if _is_closer(one, observed_allowed)
    ]
    blocked = [reason for verdict, reason in found if verdict == "blocked"]
    flagged = [reason for verdict, reason in found if verdict == "flagged"]
    if not found:
        return Decision(verdict="allowed", reasons=[_nothing_found(result)])
    return Decision(verdict="blocked" if blocked else "flagged", reasons=[*blocked, *flagged])


def _about_rows(result: PrivacyResult) -> list[tuple[Verdict, str]]:
    found = [_about_recovery(one) for one in result.expression.recoveries if one.within_5_percent]
    for attack, excess in zip(result.expression.attacks, result.expression.excess, strict=True):
        found += _about_attack(attack, excess, "Whether a known row of expression is in the pairs")
    return found


def _about_recovery(one: Recovery) -> tuple[Verdict, str]:
    told = (
        f"By {one.attack}, {one.within_5_percent} of {one.rows} observed rows can be computed to 5 % "
        f"({one.within_1_percent} to 1 %) from the pairs"
    )
    null = one.held_out_within_5_percent / max(one.held_out, 1)
    if one.share.low > null or not one.held_out_within_5_percent:
        return "blocked", f"{told}."
    return _flag(f"{told}; so can {one.held_out_within_5_percent} of {one.held_out} rows that no pair was made of.")


def _about_membership(result: PrivacyResult) -> list[tuple[Verdict, str]]:
    measured = result.membership
    found = _about_attack(measured.declared, measured.excess, "Whether a spot trained the adapter")
    for attack in measured.attacks:
        # a plain loss says how hard a patch is; it tells more only where it beats what the backbone, which saw no spot, can do
        beats = measured.control.auc.high if attack.attack == PLAIN else 0.5
        if attack.attack != measured.primary and attack.auc.low > beats:
            found.append(_flag(f"Whether a spot trained the adapter can also be told by its {attack.attack}: {_auc(attack)}."))
    return found


def _about_attack(attack: AttackResult, excess: Interval, question: str) -> list[tuple[Verdict, str]]:
    """Judge one attack; what the control does as well shows other tissue, not memory, and cannot block."""
    told = f"{question} can be told by its {attack.attack}: {_auc(attack)}"
    if attack.auc.low > BLOCKED_AUC and excess.low > 0:
        return [("blocked", f"{told}.")]
    if attack.smallest_fpr <= FPR and attack.tpr.low > BLOCKED_TPR and excess.low > 0:
        return [("blocked", f"{told}, and {_percent(attack.tpr)} of members at 1 % false positives.")]
    if attack.auc.low > 0.5:
        control = "" if excess.low > 0 else ", though no better than by a score that knows nothing of training"
        return [_flag(f"{told}{control}.")]
    if attack.auc.high > FLAGGED_AUC:
        return [_flag(f"{question} was measured on {attack.non_members} non-members, too few to say: {_auc(attack)}.")]
    return []


def _is_closer(one: NeighbourResult, observed_allowed: bool) -> bool:
    return one.closer_to_training.low > FLAGGED_CLOSER and not (observed_allowed and one.basis == "expression")


def _closer(one: NeighbourResult) -> str:
    what = {"embedding": "patches in the embedding", "pixels": "patches in pixels", "expression": "rows of expression"}[
        one.basis
    ]
    return f"{_percent(one.closer_to_training)} of generated {what} are nearer to a training spot than to a held-out one"


def _nothing_found(result: PrivacyResult) -> str:
    best = min(one.smallest_error for one in result.expression.recoveries)
    return (
        f"No observed row could be computed (the nearest attempt is off by {100 * best:.0f} %), and membership of a spot can "
        f"hardly be told: {_auc(result.membership.declared)}. That is a measurement of these attacks, not a proof."
    )


def _flag(reason: str) -> tuple[Verdict, str]:
    return "flagged", reason


def _auc(attack: AttackResult) -> str:
    return f"AUC {attack.auc.value:.2f} (95 % interval {attack.auc.low:.2f} to {attack.auc.high:.2f})"


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f} %)"
