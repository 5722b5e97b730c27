"""Attacks on released rows find what mixtures of two rows give away, and nothing in the rows that are planned now."""

import numpy as np
import pytest
from fakes.mixtures import expression, two_row_mixtures
from fakes.real_data import DATA, needs_data

from c2lst_client.expression_plan import plan_expression
from c2lst_client.privacy.expression_privacy import LINES, line_meetings, measure_expression, recovery, unmixed_means
from c2lst_client.privacy.roc import draws

SPOTS = 64


def places(count, seed=0):
    return np.random.default_rng(seed).uniform(0, 1000, size=(count, 2))


def attack(released, source, members, others):
    of_members, of_others = places(len(members)), places(len(others), 1)
    return measure_expression(released, of_members[source], members, others, draws(of_members, of_others))


def test_mixtures_of_two_rows_are_solved_and_their_rows_told_from_others():
    rows = expression(2 * SPOTS)
    released, source = two_row_mixtures(rows[:SPOTS], 10)
    found = attack(released, source, rows[:SPOTS], rows[SPOTS:])
    lines = next(one for one in found.recoveries if one.attack == LINES)
    assert lines.within_1_percent >= 0.9 * SPOTS
    assert lines.held_out_within_5_percent == 0
    assert all(one.auc.low > 0.95 for one in found.attacks)
    assert found.control.auc.low < 0.5 < found.control.auc.high
    assert all(one.low > 0.2 for one in found.excess)


@pytest.mark.parametrize("per_spot", [1, 2, 10, 25])
def test_planned_rows_give_no_row_away(per_spot):
    rows = expression(2 * SPOTS)
    plan = plan_expression(rows[:SPOTS], per_spot, "interpolated", 0)
    found = attack(plan.expression, plan.source, rows[:SPOTS], rows[SPOTS:])
    for one in found.recoveries:
        assert one.within_5_percent == 0
        assert one.share.high < 0.06
        assert one.smallest_error > 0.2


def test_planned_rows_hardly_tell_whose_they_are():
    rows = expression(400)  # mean and spread of few spots know these a little, as every summary does
    plan = plan_expression(rows[:200], 10, "interpolated", 0)
    found = attack(plan.expression, plan.source, rows[:200], rows[200:])
    assert all(one.auc.low < 0.55 for one in found.attacks)
    assert all(one.tpr.value < 0.1 for one in found.attacks)


@needs_data
@pytest.mark.real_data
def test_planned_rows_give_no_row_of_real_tissue_away(tmp_path):
    from c2lst_client.spots.panel import fit_panel
    from c2lst_client.spots.read import read_spots
    from c2lst_client.spots.split import split_spots

    spots = read_spots(DATA / "mob" / "site", image_folder=tmp_path)
    train, test = split_spots(spots, 176, 0.25, "blocked").rows(spots.barcodes)
    rows = fit_panel(spots, train).transform(spots.counts, spots.genes)
    plan = plan_expression(rows[train], 10, "interpolated", 0)
    drawn = draws(spots.centres[train], spots.centres[test])
    found = measure_expression(plan.expression, spots.centres[train][plan.source], rows[train], rows[test], drawn)
    assert [one.within_5_percent for one in found.recoveries] == [0, 0, 0]
    assert all(one.auc.low < 0.5 for one in found.attacks)
    released, source = two_row_mixtures(rows[train], 10)
    found = measure_expression(released, spots.centres[train][source], rows[train], rows[test], drawn)
    assert found.recoveries[0].within_1_percent > 60


def test_rows_that_are_repeated_are_recovered_by_their_mean():
    rows = expression(2 * SPOTS)
    plan = plan_expression(rows[:SPOTS], 3, "observed", 0)
    found = attack(plan.expression, plan.source, rows[:SPOTS], rows[SPOTS:])
    assert max(one.within_1_percent for one in found.recoveries) == SPOTS


def test_two_lines_meet_where_they_cross():
    corner, one, other = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0, 0]), np.array([0, 1.0, 1.0])
    meetings = line_meetings(np.stack([corner + one, corner + 3 * one, corner + other, corner + 2 * other]))
    assert np.abs(meetings - corner).sum(axis=1).min() < 1e-9


def test_a_thousand_pairs_of_a_place_are_no_more_work():
    assert len(line_meetings(np.random.default_rng(0).normal(size=(1000, 5)))) <= 4000


def test_fewer_than_three_pairs_of_a_place_have_no_lines_that_meet():
    assert len(line_meetings(np.eye(3)[:2])) == 0
    nothing = recovery("none", iter([np.empty((0, 3))]), np.eye(3), np.eye(3))
    assert (nothing.within_5_percent, nothing.error) == (0, 1.0)


def test_unmixing_comes_nearer_to_the_rows_than_the_means_are():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(60, 3)) * 10
    rows = scores @ rng.normal(size=(3, 30))
    nearest = np.argsort(np.linalg.norm(scores[:, None] - scores, axis=2), axis=1)[:, :3]
    means = rows[nearest].mean(axis=1)
    unmixed = unmixed_means(means, np.tile(means, (3, 1)), neighbours=2)
    assert np.linalg.norm(unmixed - rows, axis=1).mean() < np.linalg.norm(means - rows, axis=1).mean()
