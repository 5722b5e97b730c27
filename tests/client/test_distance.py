"""Sets of one kind are at distance 0, others are not, and a patch drawn twice is no pair with itself."""

from __future__ import annotations

import numpy as np
import pytest

from c2lst_client.evaluate.distance import kernel_distance
from c2lst_client.evaluate.embedding import built_in_encoder
from c2lst_client.evaluate.statistics import resample

SPOTS = 60


def features(shift: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(SPOTS, 16)) + shift).astype(np.float32)


def test_sets_of_one_kind_are_at_no_distance() -> None:
    draws, others = resample(SPOTS, seed=0), resample(SPOTS, seed=1)
    found = kernel_distance(features(0, 0), features(0, 1), draws, others).interval()
    assert found.low < 0 < found.high


def test_shifted_set_is_at_a_distance_that_grows_with_the_shift() -> None:
    draws = resample(SPOTS)
    near, far = (kernel_distance(features(0, 0), features(shift, 1), draws, draws) for shift in (0.5, 1.0))
    assert near.interval().low > 0
    assert far.minus(near).interval().low > 0


def test_patch_drawn_twice_is_no_pair_with_itself() -> None:
    """Resampled distances lie around the estimate: pairs of a patch with its own copy would push them all above it."""
    found = kernel_distance(features(0, 0), features(0, 1), resample(SPOTS, seed=0), resample(SPOTS, seed=1))
    assert abs(np.median(found.draws) - found.value) < 0.2 * found.draws.std()


def test_same_set_is_as_far_as_itself() -> None:
    draws = resample(SPOTS)
    one = kernel_distance(features(0, 0), features(0.5, 1), draws, draws)
    difference = one.minus(one).interval()
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


@pytest.mark.slow
def test_built_in_encoder_tells_tissue_from_noise() -> None:
    generator = np.random.default_rng(0)
    even = np.repeat(generator.integers(150, 250, (4, 1, 1, 3), dtype=np.uint8), 64, axis=1).repeat(64, axis=2)
    noise = generator.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    encoded = built_in_encoder()(np.concatenate([even, noise, even]))
    assert encoded.shape == (12, 1280)
    assert np.allclose(encoded[:4], encoded[8:], atol=1e-4)
    assert np.linalg.norm(encoded[:4] - encoded[4:8], axis=1).min() > 1


def test_patches_that_follow_their_spots_are_at_no_distance_and_not_below() -> None:
    """Pairs are alike beyond being of one kind: counted, they would give a distance below 0 that its interval does not hold."""
    real = features(0, 0)
    generated = (real + 0.3 * features(0, 1)).astype(np.float32)
    draws = resample(SPOTS)
    without, counted = (kernel_distance(real, generated, draws, draws, paired=paired) for paired in (True, False))
    assert without.interval().low < without.value < without.interval().high
    assert without.interval().high > 0
    assert counted.interval().high < 0
