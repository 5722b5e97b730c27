"""Only declared numbers over enough spots are sent; a policy can keep each of them back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from fakes.round_site import ROUND

from c2lst_client.cotrain import recipes
from c2lst_client.evaluate.denoising import DenoisingResult
from c2lst_client.evaluate.results import Arm, Comparison, ConditioningResult, CotrainResult, Interval
from c2lst_client.rounds.outcome import Measured, declare, withhold
from c2lst_client.rounds.policy import Policy
from c2lst_shared.journal import Entry
from c2lst_shared.wire import Metric, RoundArmKind, RoundResult, parse_answer

METRICS = get_args(Metric)
STEPS = [Entry(step="adapt", belongs_to="x", finished=datetime.now(UTC), seconds=3, peak_rss_mib=900.4)]


def measured(train: int = 20, held_out: int = 29, **changes: object) -> Measured:
    names = [f"MRN-4711-{number}" for number in range(held_out)]
    interval = Interval(value=0.123456789, low=0.1, high=0.2)
    conditioning = ConditioningResult(
        r=interval,
        concordance=interval,
        shuffled_r=interval,
        ridge_r=interval,
        guidance=3,
        sampler="unipc",
        steps=20,
        samples_per_spot=1,
        barcodes=names,
        real=[0.5] * held_out,
        synthetic=[0.5] * held_out,
    )
    arms = [
        Arm(
            kind=recipe.kind,
            ratio=recipe.ratio,
            seeds=[0, 1],
            mae_per_seed=[0.8, 0.8],
            pearson_per_seed=[0.1, 0.1],
            mae=interval,
            pearson=interval,
            mae_per_gene=[0.8],
            pearson_per_gene=[0.1],
        )
        for recipe in recipes((1, 5))
    ]
    change = Comparison(arm="real + synthetic x5", against="real", change=Interval(value=-0.02, low=-0.03, high=-0.01))
    cotrain = CotrainResult(
        genes=["Pcp4"],
        train_spots=train,
        test_spots=held_out,
        test_barcodes=names,
        steps=10,
        architecture="small",
        arms=arms,
        comparisons=[change],
        primary=change,
        helped=True,
        verdict="",
    )
    values: dict[str, object] = {
        "denoising": DenoisingResult(loss=interval, spots=train + held_out, levels=8),
        "conditioning": conditioning,
        "cotrain": cotrain,
    }
    return Measured(train, held_out, 6, **(values | changes))  # type: ignore[arg-type]


def result(of: Measured) -> RoundResult:
    return declare(ROUND, of, seconds=12.3, steps=STEPS)


def reasons(found: RoundResult) -> dict[str, str]:
    return {each.metric: each.reason for each in found.withheld}


def test_whole_result_is_declared_numbers() -> None:
    found = result(measured())
    assert reasons(found) == {}
    assert found.denoising_loss is not None
    assert found.denoising_loss.value == 0.1235  # four digits, no more
    assert (found.train_spots, found.held_out_spots, found.genes) == (20, 29, 6)
    assert (found.seconds, found.peak_memory_mib) == (12, 900)
    changes = {(arm.kind, arm.ratio): arm.change for arm in found.arms}
    assert changes["real+synthetic", 5] is not None
    assert changes["real", None] is None
    assert parse_answer(found.body()) == found


def test_nothing_of_single_spots_or_genes_is_in_it() -> None:
    body = result(measured()).body().decode()
    assert "MRN" not in body
    assert "Pcp4" not in body


def test_every_arm_of_cotraining_has_its_word() -> None:
    assert {recipe.kind for recipe in recipes((1, 2))} == set(get_args(RoundArmKind))


@pytest.mark.parametrize(("train", "held_out"), [(9, 40), (40, 9), (1, 3)])
def test_metrics_over_few_spots_are_withheld(train: int, held_out: int) -> None:
    found = result(measured(train, held_out))
    expected = {"spots", "conditioning_r", "concordance", "mae", "change"} | (
        {"denoising_loss"} if train + held_out < 10 else set()
    )
    assert reasons(found) == dict.fromkeys(expected, "few_spots")
    assert (found.train_spots, found.held_out_spots, found.conditioning_r, found.arms) == (None, None, None, ())
    assert (found.denoising_loss is None) == (train + held_out < 10)


def test_site_may_ask_for_more_spots() -> None:
    found = withhold(result(measured(20, 29)), Policy(min_spots=25))
    assert reasons(found) == dict.fromkeys(("spots", "conditioning_r", "concordance", "mae", "change"), "few_spots")
    assert found.min_spots == 25
    assert found.denoising_loss is not None


def test_what_was_not_asked_for_is_said_not_to_be_measured() -> None:
    found = result(measured(conditioning=None, cotrain=None))
    assert reasons(found) == dict.fromkeys(("conditioning_r", "concordance", "mae", "change"), "not_measured")


def test_correlation_that_is_no_number_is_not_sent() -> None:
    whole = measured()
    assert whole.conditioning is not None
    none = whole.conditioning.model_copy(update={"r": Interval(value=float("nan"), low=float("nan"), high=float("nan"))})
    assert reasons(result(measured(conditioning=none))) == {"conditioning_r": "not_measured"}


@pytest.mark.parametrize("metric", METRICS)
def test_policy_withholds_each_metric_by_its_name(metric: Metric) -> None:
    whole = result(measured())
    found = withhold(whole, Policy(withhold=(metric,)))
    assert reasons(found) == {metric: "policy"}
    before, after = whole.model_dump(exclude={"withheld"}), found.model_dump(exclude={"withheld"})
    assert before != after
    assert parse_answer(found.body()) == found


def test_policy_that_withholds_everything_leaves_the_identifier() -> None:
    found = withhold(result(measured()), Policy(withhold=METRICS))
    left = {name: value for name, value in found.model_dump().items() if value not in (None, ())}
    assert set(left) == {"kind", "round_id", "min_spots", "withheld"}
