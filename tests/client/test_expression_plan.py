"""Planned conditions look like the tissue's expression, repeat none of it, and a longer plan begins with a shorter one."""

import numpy as np
import pytest
from fakes.mixtures import expression
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst_client.expression_plan import NEIGHBOURS, plan_expression, split_components


@settings(max_examples=40, deadline=None)
@given(spots=st.integers(2, 12), genes=st.integers(1, 5), per_spot=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_spot_starts_as_many_pairs_and_is_mixed_with_others(spots, genes, per_spot, seed):
    known = np.random.default_rng(seed).normal(size=(spots, genes)).astype(np.float32)
    plan = plan_expression(known, per_spot, "interpolated", seed)
    assert plan.expression.shape == (spots * per_spot, genes)
    assert np.isfinite(plan.expression).all()
    assert plan.spots.shape == plan.shares.shape == (spots * per_spot, min(NEIGHBOURS, spots - 1) + 1)
    assert np.bincount(plan.source, minlength=spots).tolist() == [per_spot] * spots
    assert all(len({*row}) == len(row) for row in plan.spots.tolist())
    assert (plan.shares >= 0).all()
    np.testing.assert_allclose(plan.shares.sum(axis=1), 1)


@pytest.mark.parametrize("mode", ["interpolated", "observed"])
def test_plan_of_more_pairs_begins_with_the_plan_of_fewer(mode):
    known = expression(20, 10)
    many, few = plan_expression(known, 5, mode, 1), plan_expression(known, 2, mode, 1)
    assert np.array_equal(many.expression[:40], few.expression)
    assert np.array_equal(many.shares[:40], few.shares)
    assert np.array_equal(many.spots[:40], few.spots)


def test_observed_expression_is_repeated_as_it_is():
    known = expression(12, 6)
    plan = plan_expression(known, 2, "observed", 0)
    assert np.array_equal(plan.expression, np.tile(known, (2, 1)))
    assert plan.components == 0


def test_rows_have_the_mean_spread_and_correlations_of_the_tissue():
    known = expression(200, 40)
    planned = plan_expression(known, 20, "interpolated", 0).expression
    assert np.abs(planned.mean(axis=0)).max() < 0.1
    np.testing.assert_allclose(planned.std(axis=0), 1, atol=0.08)
    pairs = np.triu_indices(40, 1)
    real, made = np.corrcoef(known.T)[pairs], np.corrcoef(planned.T)[pairs]
    assert np.corrcoef(real, made)[0, 1] > 0.95
    assert np.abs(real - made).mean() < 0.07


def test_as_many_components_as_were_planted_and_one_where_there_are_none():
    assert len(split_components(expression(200, 60, factors=3).astype(float)).directions) == 3
    noise = np.random.default_rng(0).normal(size=(200, 60))
    assert len(split_components(noise).directions) == 1


def test_few_spots_give_few_components():
    assert len(split_components(expression(45, 60, factors=8).astype(float)).directions) == 2


def test_what_components_leave_of_a_spot_is_in_none_of_its_pairs():
    known = expression(120, 100).astype(float)
    parts = split_components(known)
    rest = known - parts.mean - parts.scores @ parts.directions
    plan = plan_expression(known.astype(np.float32), 10, "interpolated", 0)
    planned = plan.expression - parts.mean
    planned_rest = planned - planned @ parts.directions.T @ parts.directions
    own = (planned_rest * rest[plan.source]).sum(axis=1) / (
        np.linalg.norm(planned_rest, axis=1) * np.linalg.norm(rest, axis=1)[plan.source]
    )
    assert abs(own.mean()) < 4 * own.std() / np.sqrt(len(own))
