"""Planted patterns on the slide are found, noise is not, and what a predictor misses shows in its residuals."""

import numpy as np
import pytest
from fakes.planted_slide import PITCH, blurred, square_array, two_territories

from c2lst_client.evaluate import spatial
from c2lst_client.evaluate.spatial_graph import SpatialGraph, neighbour_graph
from c2lst_shared.errors import BadInput

SIDE = 14


def _smooth(genes: int, seed: int) -> np.ndarray:
    values = blurred(np.random.default_rng(seed).normal(size=(SIDE * SIDE, genes)), SIDE, 2.0)
    return values / values.std(axis=0)


def test_square_array_joins_eight_neighbours_and_a_hexagonal_one_six():
    square = neighbour_graph(square_array(7)).degree.reshape(7, 7)
    assert (square[1:-1, 1:-1] == 8).all()
    assert square[0, 0] == 3
    rows = np.arange(8)
    hexagonal = np.array([(column + 0.5 * (row % 2), row * np.sqrt(0.75)) for row in rows for column in rows]) * PITCH
    assert (neighbour_graph(hexagonal).degree.reshape(8, 8)[1:-1, 1:-1] == 6).all()


def test_graph_of_a_subset_is_part_of_the_whole_graph():
    centres = square_array(10)
    kept = np.sort(np.random.default_rng(0).choice(100, 70, replace=False))
    whole = {tuple(edge) for edge in neighbour_graph(centres).edges.tolist()}
    part = {tuple(edge) for edge in kept[neighbour_graph(centres[kept]).edges].tolist()}
    assert part == {edge for edge in whole if set(edge) <= set(kept.tolist())}


def test_no_edge_crosses_a_gap():
    centres = square_array(6)
    centres[:, 0] += np.where(centres[:, 0] > 4 * PITCH, 3 * PITCH, 0)
    left = centres[:, 0] < 4.5 * PITCH
    edges = neighbour_graph(centres).edges
    assert (left[edges[:, 0]] == left[edges[:, 1]]).all()


def test_too_few_spots_are_refused():
    with pytest.raises(BadInput, match="9 spots are too few"):
        neighbour_graph(square_array(3))


def test_morans_i_agrees_with_its_definition():
    graph = SpatialGraph(4, np.array([[0, 1], [1, 2], [2, 3]]))
    z = np.array([1.0, 2, 4, 3]) - 2.5
    expected = 4 / 6 * 2 * (z[0] * z[1] + z[1] * z[2] + z[2] * z[3]) / (z @ z)
    assert spatial.morans_i(np.array([[1.0], [2], [4], [3]]), graph)[0] == pytest.approx(expected)


@pytest.mark.parametrize("strength", [0.0, 0.5, 0.8])
def test_significance_agrees_with_permutations(strength):
    rng = np.random.default_rng(3)
    graph = neighbour_graph(square_array(8))
    pattern = blurred(rng.normal(size=(64, 1)), 8, 1.5)
    values = strength * pattern / pattern.std() + rng.exponential(size=(64, 1))  # skewed, as counts are
    permuted = rng.permuted(np.repeat(values, 20000, axis=1), axis=0)
    share = (spatial.morans_i(permuted, graph) >= spatial.morans_i(values, graph)).mean()
    assert spatial.significance(values, graph)[0] == pytest.approx(share, abs=0.025)


def test_noise_is_significant_as_often_as_p_says_and_a_pattern_always():
    graph = neighbour_graph(square_array(SIDE))
    noise = np.random.default_rng(1).normal(size=(SIDE * SIDE, 2000))
    assert (spatial.significance(noise, graph) < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert spatial.morans_i(noise, graph).mean() == pytest.approx(-1 / (SIDE * SIDE - 1), abs=0.003)
    assert (spatial.adjust(spatial.significance(noise, graph)) < 0.05).sum() <= 2
    assert (spatial.significance(_smooth(20, 2), graph) < 1e-6).all()


def test_constant_values_have_no_pattern():
    graph = neighbour_graph(square_array(5))
    values = np.full((25, 2), 0.1, np.float32)
    assert spatial.morans_i(values, graph).tolist() == [0.0, 0.0]
    assert spatial.significance(values, graph).tolist() == [1.0, 1.0]


def test_what_a_predictor_misses_shows_in_its_residuals():
    pattern = _smooth(30, 5)
    measured = pattern + np.random.default_rng(6).normal(size=pattern.shape)
    arms = {"mean": np.zeros_like(measured), "half": 0.5 * pattern, "all": pattern}
    names = [f"gene-{g}" for g in range(30)]
    result = spatial.measure_spatial(measured, arms, square_array(SIDE), names)
    mean, half, everything = result.arms
    assert result.measured.significant == 30
    assert (mean.predicted.mean.value, mean.predicted.significant) == (0.0, 0)
    assert mean.residual.mean.value == pytest.approx(result.measured.mean.value)
    assert mean.residual.mean.low > half.residual.mean.value > everything.residual.mean.high
    assert everything.residual.mean.low < 0.02
    assert everything.residual.significant <= 2
    assert everything.predicted.mean.value > result.measured.mean.value
    assert [(one.arm, one.against, one.change.high < 0) for one in result.changes] == [
        ("half", "mean", True), ("all", "mean", True),
    ]  # fmt: skip
    assert result.units == "16 parts of the slide"


def test_interval_of_the_mean_covers_what_other_slides_give():
    """The spread over independent slides is about what the interval on one slide says."""
    graph, centres = neighbour_graph(square_array(SIDE)), square_array(SIDE)
    shared = [_smooth(1, seed) + 0.7 * np.random.default_rng(seed + 500).normal(size=(SIDE * SIDE, 1)) for seed in range(200)]
    spread = np.std([spatial.morans_i(values, graph)[0] for values in shared])
    widths = []
    for values in shared[:20]:
        mean = spatial.measure_spatial(values, {}, centres, ["one"]).measured.mean
        widths.append((mean.high - mean.low) / (2 * 1.96))
    assert np.mean(widths) == pytest.approx(spread, rel=0.35)


def test_isolated_spots_are_left_out_and_counted():
    _, measured = two_territories(8, 4, noise=0.5, seed=0)
    centres = square_array(8)
    centres[0] = (9000, 9000)
    result = spatial.measure_spatial(measured, {"mean": np.zeros_like(measured)}, centres, list("abcd"))
    assert (result.spots, result.isolated) == (63, 1)
    assert result.expected == pytest.approx(-1 / 62)


def test_predictions_of_other_spots_are_refused():
    _, measured = two_territories(6, 3, noise=0.5, seed=0)
    with pytest.raises(BadInput, match="'real' have shape"):
        spatial.measure_spatial(measured, {"real": measured[1:]}, square_array(6), list("abc"))
