"""Intervals over several divisions of one slide: exact where nothing varies, wide enough where nothing is there."""

import numpy as np
import pytest

from c2lst_client.study.pooled import DivisionErrors, Pooled

SPOTS = 120
CENTRES = np.stack(np.meshgrid(np.arange(12.0), np.arange(10.0)), axis=-1).reshape(-1, 2)


def divisions(rng, count, arms, seeds=3, effect=0.0):
    """Divisions with half of the spots held out; errors of neighbouring spots are alike, arms differ by noise and `effect`."""
    smooth = np.sin(CENTRES[:, 0] / 3 + rng.random() * 6) * np.cos(CENTRES[:, 1] / 3 + rng.random() * 6)
    found = []
    for _ in range(count):
        rows = np.sort(rng.permutation(SPOTS)[: SPOTS // 2])
        base = 1 + 0.3 * smooth[rows]
        of_arm = {}
        for number, arm in enumerate(arms):
            noise = 0.1 * rng.standard_normal((seeds, len(rows))) + 0.02 * rng.standard_normal((seeds, 1))
            of_arm[arm] = (base + noise) * (1 + effect * (number > 0))
        found.append(DivisionErrors(rows, of_arm))
    return found


def test_equal_shift_has_no_spread():
    [one] = divisions(np.random.default_rng(0), 1, ["a"])
    both = DivisionErrors(one.rows, {"a": one.of_arm["a"], "b": 0.95 * one.of_arm["a"]})
    change = Pooled([both, both], CENTRES).change("b", "a")
    assert (change.value, change.low, change.high) == pytest.approx((-0.05, -0.05, -0.05))


def test_value_is_the_mean_over_divisions():
    found = divisions(np.random.default_rng(1), 3, ["a", "b"], effect=0.1)
    pooled = Pooled(found, CENTRES)
    means = [np.mean([division.of_arm[arm].mean() for division in found]) for arm in "ab"]
    assert pooled.error("a").value == pytest.approx(means[0])
    assert pooled.change("b", "a").value == pytest.approx(means[1] / means[0] - 1)
    assert pooled.change("b", "a").low > 0
    assert "3 divisions and the seeds" in pooled.units


def test_question_is_answered_by_the_divisions_that_have_its_arms():
    found = divisions(np.random.default_rng(4), 5, ["a", "b", "c"])
    some = [*found[:2], *(each._replace(of_arm={arm: each.of_arm[arm] for arm in "ab"}) for each in found[2:])]
    pooled = Pooled(some, CENTRES)
    assert (pooled.divisions_with("a", "b"), pooled.divisions_with("a", "c")) == (5, 2)
    assert pooled.change("b", "a") == Pooled(found, CENTRES).change("b", "a")
    assert pooled.change("c", "a") == Pooled(found[:2], CENTRES).change("c", "a")


def test_null_is_covered():
    covered = 0
    for seed in range(60):
        change = Pooled(divisions(np.random.default_rng(seed), 3, ["a", "b"]), CENTRES, seed=seed).change("b", "a")
        covered += change.low <= 0 <= change.high
    assert covered >= 52


def test_arm_without_seeds_is_compared_with_one_that_has_some():
    [one] = divisions(np.random.default_rng(2), 1, ["a"])
    both = DivisionErrors(one.rows, {"mean": one.of_arm["a"].mean(axis=0, keepdims=True) + 0.5, "a": one.of_arm["a"]})
    change = Pooled([both], CENTRES).change("a", "mean")
    assert change.high < -0.2
