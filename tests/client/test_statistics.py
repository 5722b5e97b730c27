"""Intervals cover what they say, comparisons are paired, and the verdict claims no more than the interval allows."""

import numpy as np
import pytest

from c2lst_client.evaluate import statistics
from c2lst_client.evaluate.results import Comparison, Interval


def _grid(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2).astype(float)


def _comparison(low: float, high: float, against: str = "real") -> Comparison:
    return Comparison(arm="real + synthetic x5", against=against, change=Interval(value=(low + high) / 2, low=low, high=high))


def test_weights_of_every_draw_sum_to_one():
    resamples = statistics.resample(60, 3, centres=_grid(8)[:60], seed=1)
    assert resamples.spots.shape == (statistics.RESAMPLES, 60)
    assert resamples.seeds.shape == (statistics.RESAMPLES, 3)
    np.testing.assert_allclose(resamples.spots.sum(axis=1), 1)
    np.testing.assert_allclose(resamples.seeds.sum(axis=1), 1)


def test_spots_of_one_square_are_drawn_together():
    centres = _grid(14)
    blocks = statistics.spatial_blocks(centres)
    weights = statistics.resample(len(centres), centres=centres).spots
    assert blocks.max() + 1 == statistics.BLOCKS
    for block in range(blocks.max() + 1):
        inside = weights[:, blocks == block]
        assert (inside == inside[:, :1]).all()
        spread = np.ptp(centres[blocks == block], axis=0)
        assert spread.max() <= 3  # 14 places in four rows and columns: three or four places each


def test_concordance_is_r_lowered_by_a_shift_and_by_another_spread():
    x = np.random.default_rng(0).normal(size=400)
    resamples = statistics.resample(len(x))
    same, shifted, stretched = (statistics.concordance(x, y, resamples).interval(-1, 1) for y in (x, x + 2, 3 * x))
    assert same.value == pytest.approx(1)
    assert shifted.value == pytest.approx(2 * x.var() / (2 * x.var() + 4))
    assert stretched.value == pytest.approx(6 * x.var() / (10 * x.var() + (2 * x.mean()) ** 2))
    assert shifted.low < shifted.value < shifted.high < 0.5
    assert statistics.correlation(x, x + 2, resamples).value == pytest.approx(1)


def test_spots_on_one_line_still_make_blocks():
    centres = np.stack([np.arange(100.0), np.zeros(100)], axis=1)
    assert statistics.spatial_blocks(centres).tolist() == (np.arange(100) * 16 // 99).clip(max=15).tolist()


@pytest.mark.parametrize("spots", [1, 3, 31])
def test_few_spots_are_drawn_one_by_one(spots):
    centres = _grid(7)[:spots]
    assert statistics.spatial_blocks(centres).tolist() == list(range(spots))
    assert statistics.resample(spots, centres=centres).units == f"{spots} single spots"


def test_draws_are_the_same_for_the_same_seed():
    first, again, other = (statistics.resample(50, 2, seed=seed) for seed in (4, 4, 5))
    assert (first.spots == again.spots).all()
    assert (first.seeds == again.seeds).all()
    assert (first.spots != other.spots).any()


def test_standard_error_of_single_spots_is_that_of_the_mean():
    errors = np.random.default_rng(0).exponential(size=(1, 400))
    found = statistics.mae_interval(errors, statistics.resample(400))
    expected = errors.std() / 20
    assert found.value == pytest.approx(errors.mean())
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(expected, rel=0.06)


def test_few_units_give_the_interval_of_student_t():
    errors = np.random.default_rng(0).normal(1, 0.1, size=(1, 8))
    found = statistics.mae_interval(errors, statistics.resample(8))
    expected = 2 * 2.365 * errors.std(ddof=1) / np.sqrt(8)
    assert found.high - found.low == pytest.approx(expected, rel=0.06)


def test_stretched_interval_of_a_correlation_stays_possible():
    x = np.arange(6.0)
    r = statistics.correlation(x, x + np.array([0, 0.1, -0.1, 0.1, 0, -0.1]), statistics.resample(6)).interval(-1, 1)
    assert 0.9 < r.low < r.value < r.high <= 1


def test_interval_holds_the_variation_between_seeds():
    """Three seeds that differ by a constant, equal spots: all variation is that of the mean of three seeds."""
    errors = np.array([[0.7], [0.8], [0.9]]) * np.ones((1, 50))
    draws = statistics.resample(50, 3).seeds @ errors[:, 0]
    assert draws.mean() == pytest.approx(0.8, abs=0.005)
    assert draws.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_paired_change_is_sharper_than_its_parts():
    rng = np.random.default_rng(2)
    reference = rng.exponential(size=(1, 200)) + 0.2
    errors = 0.95 * reference + rng.normal(0, 0.01, reference.shape)
    resamples = statistics.resample(200)
    change = statistics.change_interval(errors, reference, resamples)
    alone = statistics.mae_interval(errors, resamples)
    assert change.value == pytest.approx(-0.05, abs=0.005)
    assert change.high < 0
    assert (alone.high - alone.low) > 10 * (change.high - change.low)


def test_change_against_an_arm_without_seeds_is_found():
    errors = np.full((3, 30), 0.9)
    change = statistics.change_interval(errors, np.full((1, 30), 1.0), statistics.resample(30, 3))
    assert (change.low, change.value, change.high) == pytest.approx((-0.1, -0.1, -0.1))


def test_pearson_per_gene_agrees_with_numpy():
    rng = np.random.default_rng(3)
    truth, prediction = rng.normal(1000, 1, (40, 5)).astype(np.float32), rng.normal(size=(40, 5))
    expected = [np.corrcoef(truth[:, gene], prediction[:, gene])[0, 1] for gene in range(5)]
    np.testing.assert_allclose(statistics.pearson_per_gene(truth, prediction), expected, atol=1e-6)


def test_pearson_of_a_constant_prediction_is_zero():
    truth = np.random.default_rng(0).normal(size=(20, 2))
    assert statistics.pearson_per_gene(truth, np.full((20, 2), 0.3)).tolist() == [0.0, 0.0]
    assert statistics.pearson_interval(truth, np.full((1, 20, 2), 0.3), statistics.resample(20, 3)).high == 0.0


def test_pearson_interval_agrees_with_drawing_rows():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(80, 3))
    prediction = truth + rng.normal(size=(80, 3))
    found = statistics.pearson_interval(truth, prediction[None], statistics.resample(80))
    rows = rng.integers(80, size=(1000, 80))
    naive = [statistics.pearson_per_gene(truth[drawn], prediction[drawn]).mean() for drawn in rows]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(naive, [2.5, 97.5])), abs=0.02)


def test_verdict_of_a_gain_names_change_and_interval():
    sentence = statistics.verdict(
        _comparison(-0.03, -0.01),
        _comparison(-1, -1),
        _comparison(-0.02, -0.01, "real + augmentation"),
        _comparison(-0.1, -0.05, "mean"),
    )
    assert sentence == (
        "Synthetic pairs help here: real + synthetic x5 changes the error on held-out spots by -2.0 % "
        "(95 % interval -3.0 % to -1.0 %) against real. It beats classical augmentation (-1.5 %, -2.0 % to -1.0 %)."
    )


@pytest.mark.parametrize(
    ("low", "high", "opening"),
    [
        (-0.03, -0.01, "Synthetic pairs help here:"),
        (-0.03, 0.01, "No evidence that synthetic pairs help here:"),
        (0.0, 0.01, "No evidence that synthetic pairs help here:"),
        (0.01, 0.03, "Synthetic pairs hurt here:"),
    ],
)
def test_verdict_follows_the_whole_interval(low, high, opening):
    same = _comparison(low, high)
    assert statistics.verdict(same, same, _comparison(-1, -1), _comparison(-1, -1)).startswith(opening)


def test_harm_that_comes_from_the_length_of_training_is_no_harm_of_pairs():
    best, mean = _comparison(0.01, 0.03), _comparison(-1, -1)
    said = statistics.verdict(best, _comparison(-0.02, 0.01, "real, 900 steps"), best, mean)
    assert said.startswith("No evidence that synthetic pairs help here: real + synthetic x5 changes the error")
    assert (
        "against real spots that were trained for less; against those trained as long it is -0.5 % (-2.0 % to +1.0 %)." in said
    )
    assert statistics.finding(best.change, None) == "worse"
    assert statistics.finding(_comparison(-0.03, -0.01).change, best.change) == "better"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.03, -0.01, "It beats classical augmentation"),
        (-0.03, 0.01, "no evidence that it does better than classical augmentation"),
        (0.01, 0.03, "It does worse than classical augmentation"),
    ],
)
def test_verdict_says_how_augmentation_compares(low, high, words):
    assert words in statistics.verdict(*[_comparison(-1, -1)] * 2, _comparison(low, high), _comparison(-1, -1))


def test_verdict_warns_when_predicting_the_mean_is_as_good():
    gain = _comparison(-0.03, -0.01)
    assert "Read this with care" in statistics.verdict(gain, gain, gain, _comparison(-0.01, 0.01))
    assert "Read this with care" not in statistics.verdict(gain, gain, gain, _comparison(-0.02, -0.01))


@pytest.mark.slow
@pytest.mark.parametrize("correlated", [False, True], ids=["independent spots", "spots alike within 2 x 2"])
def test_paired_interval_covers_at_about_the_nominal_rate(correlated):
    """Two arms, three seeds, 196 spots: the true change lies inside in about 95 of 100 simulated slides."""
    rng = np.random.default_rng(7)
    centres = _grid(14)
    true_change, inside, trials = -0.02, 0, 200
    region = np.unique((centres // 2).astype(int), axis=0, return_inverse=True)[1].ravel()
    resamples = statistics.resample(196, 3, centres=centres if correlated else None)
    for _ in range(trials):
        base = 0.8 + 0.1 * rng.normal(size=196)
        effect = 0.06 * (rng.normal(size=region.max() + 1)[region] if correlated else rng.normal(size=196))
        seeds = 0.004 * rng.normal(size=(2, 3, 1))
        reference = base + seeds[0]
        errors = base + 0.8 * true_change + effect + seeds[1]
        change = statistics.change_interval(errors, reference, resamples)
        inside += change.low <= true_change <= change.high
    assert 0.90 <= inside / trials <= 0.99


def test_values_all_equal_have_no_concordance():
    """Rounding must not give them a spread: 0.09375 is exact, a tenth is not."""
    for value in (0.09375, 0.1):
        alike = np.full(60, value)
        found = statistics.concordance(alike, alike, statistics.resample(60)).interval()
        assert (found.low, found.value, found.high) == (0, 0, 0)


def test_recentred_draws_keep_their_scatter_and_lie_around_the_value():
    draws = np.random.default_rng(0).normal(5, 2, 4000)
    found = statistics.Estimate(1.0, draws, 1.0).recentred()
    assert found.draws.mean() == pytest.approx(1.0)
    assert found.draws.std() == pytest.approx(draws.std())


def test_mean_per_spot_is_the_mean_with_its_standard_error():
    values = np.random.default_rng(0).normal(3, 1, 400)
    found = statistics.mean_per_spot(values, statistics.resample(400)).interval()
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
