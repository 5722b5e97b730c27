"""Nearest neighbours: copies of training spots are found, samples of the same law are not, whatever the sizes of the sets."""

import numpy as np
import pytest

from c2lst_client.privacy.groups import non_members, some
from c2lst_client.privacy.neighbours import Places, nearest_in_features, nearest_in_pixels
from c2lst_shared.errors import BadInput


def points(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def places(*counts):
    return Places(*(np.random.default_rng(count).uniform(0, 1000, size=(count, 2)) for count in counts))


@pytest.mark.parametrize(("training", "held_out"), [(60, 60), (40, 200), (200, 40)])
def test_samples_of_the_same_law_are_as_near_to_either_set(training, held_out):
    missed = 0
    for seed in range(20):
        sets = (points(300, seed), points(training, 100 + seed), points(held_out, 200 + seed))
        found = nearest_in_features("embedding", *sets, places(300, training, held_out))
        share = found.closer_to_training
        missed += not share.low < 0.5 < share.high
        assert share.high - share.low < 0.6
    assert missed <= 3
    assert found.set_size == min(training, held_out)
    assert len(found.to_training) == len(found.to_held_out) == 300


def test_copies_of_training_spots_are_found_and_shown_once_each():
    training = points(50, 1)
    generated = np.concatenate([training, training]) + 0.05 * points(100, 3)
    found = nearest_in_features("expression", generated, training, points(80, 2), places(100, 50, 80))
    assert found.closer_to_training.low > 0.75
    assert len(found.closest) == 6
    assert all(sample % 50 == spot for sample, spot, _ in found.closest)
    assert len({spot for _, spot, _ in found.closest}) == 6


def test_a_turned_copy_of_a_patch_is_found_in_pixels():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, size=(40, 8, 8, 3), dtype=np.uint8)
    turned = np.stack([np.rot90(image[:, ::-1], number % 4) for number, image in enumerate(real[:20])])
    found = nearest_in_pixels(turned, real[:20], real[20:], places(20, 20, 20))
    assert found.closer_to_training.value == 1.0
    assert max(found.to_training) < 0.1
    assert min(found.to_held_out) > 50
    assert found.repeats == 1


def test_pixel_distance_is_in_grey_levels():
    black, grey, white = (np.full((2, 4, 4, 3), value, np.uint8) for value in (0, 100, 255))
    found = nearest_in_pixels(black, grey, white, places(2, 2, 2))
    assert found.to_training == pytest.approx([100, 100])
    assert found.to_held_out == pytest.approx([255, 255])


def test_nothing_to_compare_is_one_sentence():
    with pytest.raises(BadInput, match="0 held-out spots cannot be compared; give at least two of each"):
        nearest_in_features("embedding", points(3, 0), points(3, 1), points(0, 2), places(3, 3, 0))


def test_neither_overlapping_nor_adjacent_spots_are_non_members():
    centres = np.array([(70.0 * x, 70.0 * y) for y in range(5) for x in range(5)])
    members, others = np.array([0]), np.arange(1, 25)
    found = non_members(centres, members, others, 64)
    column, row = found % 5, found // 5
    assert ((column >= 2) | (row >= 2)).all()  # the eight around it, as far as there are, count for neither
    assert len(found) == 25 - 4
    assert len(non_members(centres, members, others, 100)) == 25 - 9  # patches that reach over their neighbours


def test_few_of_many_are_chosen_in_order_and_the_same_at_every_call():
    rows = np.arange(100)
    chosen = some(rows, 10)
    assert len(chosen) == 10
    assert (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, some(rows, 10))
    assert np.array_equal(some(rows, 200), rows)
