"""What the privacy measurement writes down: plain numbers with intervals, and what they were measured on."""

from __future__ import annotations

from typing import Literal

from c2lst_client.evaluate.results import Interval, Result, StepResult

PLAIN = "loss"  # name of the attack that takes nothing but the adapted model's own loss

Basis = Literal["embedding", "pixels", "expression"]


class RocCurve(Result):
    """True-positive rate at given false-positive rates, with a 95 % band at each of them alone."""

    fpr: list[float]  # rising from 0 to 1
    tpr: list[float]
    low: list[float]
    high: list[float]


class AttackResult(Result):
    """How well a score tells members from non-members; 0.5 is guessing."""

    attack: str  # what the score is, in words
    auc: Interval  # bootstrap over parts of the slide
    tpr: Interval  # share of members found while at most 1 % of non-members are taken for members
    smallest_fpr: float  # 1 / non-members: with fewer than 100 of them, `tpr` allows no false positive at all
    members: int
    non_members: int
    units: str  # what the bootstrap drew, in words
    roc: RocCurve


class Recovery(Result):
    """How many rows an attack computed from the released ones; held-out rows are the null, as nothing is made of them."""

    attack: str
    rows: int
    within_1_percent: int  # rows with a relative error of at most 1 %
    within_5_percent: int
    share: Interval  # of rows within 5 %; exact binomial (Clopper and Pearson 1934)
    error: float  # median over rows of |computed - observed| / |observed|; the best of all computed ones counts
    smallest_error: float
    held_out: int
    held_out_within_5_percent: int


class NeighbourResult(Result):
    """Are generated samples nearer to training spots than to held-out ones? Half of them are, where nothing is remembered."""

    basis: Basis
    closer_to_training: Interval  # proportion, ties count half
    units: str  # what the interval comes from, in words
    set_size: int  # spots of either set that distances were measured to, the larger set drawn down to the smaller
    repeats: int  # such draws; proportions are means over them
    to_training: list[float]  # distance to the nearest training spot per generated sample, mean over the draws
    to_held_out: list[float]
    closest: list[tuple[int, int, int]]  # generated, its nearest training and held-out spot: the pairs nearest to training


class MembershipResult(Result):
    """Membership inference on the adapter from denoising losses."""

    attacks: list[AttackResult]
    primary: str  # AttackResult.attack that was declared beforehand
    control: AttackResult  # the backbone's loss alone, which has seen neither side: away from 0.5 the tissues differ
    excess: Interval  # AUC of the primary attack less that of the control, paired
    time_steps: list[int]
    noises: int

    @property
    def declared(self) -> AttackResult:
        """The primary attack."""
        return next(attack for attack in self.attacks if attack.attack == self.primary)


class ExpressionResult(Result):
    """Attacks on the expression of released pairs."""

    recoveries: list[Recovery]
    attacks: list[AttackResult]  # membership of a known row, given the released ones
    control: AttackResult  # distance to the mean of the released rows: what knowing the tissue in general gives
    excess: list[Interval]  # AUC of each attack less that of the control, paired


class PrivacyResult(StepResult):
    """Everything that was measured on one set of pairs and the adapter that made them."""

    pairs: str  # fingerprint
    adapter: str  # fingerprint
    members: int
    non_members: int
    neighbours: list[NeighbourResult]
    membership: MembershipResult
    expression: ExpressionResult
    dp_epsilon: float | None = None  # spent by a differentially private adaptation, at the level of a spot
    dp_delta: float | None = None
