"""AUC and true positives at 1 % false positives: right where the truth is known, with intervals that hold it."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from c2lst_client.privacy.roc import binomial, draws, measure_attack
from c2lst_shared.errors import BadInput


def drawn(members, others):
    rng = np.random.default_rng(3)
    return draws(rng.uniform(0, 1000, size=(members, 2)), rng.uniform(0, 1000, size=(others, 2)))


def test_auc_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 6, 90).astype(float), rng.integers(0, 5, 120).astype(float)
    found = measure_attack("x", inside, outside, drawn(90, 120))
    truth = roc_auc_score(np.r_[np.ones(90), np.zeros(120)], np.r_[inside, outside])
    assert found.auc.value == pytest.approx(truth)
    assert found.auc.low < truth < found.auc.high


def test_shift_of_one_standard_deviation_gives_its_known_auc_and_true_positives():
    rng = np.random.default_rng(1)
    found = measure_attack("x", rng.normal(1, 1, 2000), rng.normal(0, 1, 2000), drawn(2000, 2000))
    assert found.auc.low < norm.cdf(1 / np.sqrt(2)) < found.auc.high
    assert found.tpr.low < norm.sf(norm.isf(0.01) - 1) < found.tpr.high
    assert found.smallest_fpr == 1 / 2000


def test_guessing_is_guessing():
    rng = np.random.default_rng(2)
    inside, outside = rng.normal(size=(2, 150))
    found = measure_attack("x", inside, outside, drawn(150, 150))
    assert found.auc.low < 0.5 < found.auc.high
    assert found.tpr.low < 0.01


def test_few_non_members_allow_no_false_positive():
    inside, outside = np.arange(20) + 0.5, np.arange(20.0)
    found = measure_attack("x", inside, outside, drawn(20, 20))
    assert found.tpr.value == 1 / 20  # only the one above every non-member
    assert found.smallest_fpr == 0.05


def test_no_resample_of_none_finds_one_so_the_interval_counts_exactly():
    found = measure_attack("x", np.zeros(40), np.ones(40), drawn(40, 40))
    assert found.tpr.value == 0
    assert found.tpr.high == pytest.approx(binomial(0, 40).high)
    assert 0.05 < binomial(0, 40).high < 0.1


def test_curve_rises_within_its_band():
    rng = np.random.default_rng(4)
    curve = measure_attack("x", rng.normal(1, 1, 80), rng.normal(0, 1, 80), drawn(80, 80)).roc
    assert (np.diff(curve.tpr) > -1e-9).all()
    assert (np.array(curve.low) <= curve.tpr).all()
    assert (np.array(curve.high) >= curve.tpr).all()
    assert curve.tpr[-1] == pytest.approx(1)


def test_too_few_spots_name_the_way_out():
    with pytest.raises(BadInput, match=r"12 members and 9 non-members are too few.*adapt with `--split blocked`"):
        drawn(12, 9)
