"""Planted faults of generated patches are found, faultless ones pass for real, and floor and ceiling lie where they must."""

from __future__ import annotations

import numpy as np
import pytest

from c2lst_client.evaluate.coverage import ball_counts, distances
from c2lst_client.evaluate.frechet import frechet_distance, frechet_estimate
from c2lst_client.evaluate.image_quality import (
    MOST_PATCHES,
    FeatureSets,
    ImageQuality,
    measure_image_quality,
    quality_of_features,
)
from c2lst_client.evaluate.references import nearest_other, random_halves
from c2lst_client.evaluate.shared_space import shared_space
from c2lst_client.evaluate.statistics import resample
from c2lst_shared.errors import BadInput

SPOTS, D = 80, 12
GRID = np.stack(np.meshgrid(np.arange(10.0), np.arange(8.0)), axis=-1).reshape(-1, 2)


def tissue(seed: int, own: float = 0.5) -> np.ndarray:
    """Features that change smoothly over the slide, and `own` of each patch; another seed is another look."""
    waves = np.random.default_rng(0).normal(size=(2, D))
    smooth = np.sin(GRID @ waves * 0.4)
    return (5 + smooth + own * np.random.default_rng(seed).normal(size=(SPOTS, D))).astype(np.float32)


def measure(generated: np.ndarray, **options: object) -> ImageQuality:
    unadapted = tissue(9) + 3
    sets = FeatureSets(tissue(1), generated, unadapted[:, ::-1].copy())
    return quality_of_features(sets, **({"centres": GRID} | options))  # type: ignore[arg-type]


def test_faultless_patches_are_as_near_as_real_ones() -> None:
    found = measure(tissue(2))
    for distance in (found.kernel, found.frechet, found.density, found.coverage):
        equal = distance.at_equal_size
        assert equal.real_against_real.low < equal.generated.value < equal.real_against_real.high
        assert equal.size == SPOTS // 2
    assert found.kernel.generated.low < 0 < found.kernel.generated.high
    assert found.cosine is not None
    assert found.cosine.generated.low > found.cosine.shuffled.high
    assert found.cosine.real_neighbours is not None
    assert found.cosine.real_neighbours.low > found.cosine.real_against_real.value


@pytest.mark.parametrize("measured", ["kernel", "frechet"])
def test_distance_grows_from_faultless_to_shifted_to_unadapted(measured: str) -> None:
    shifted = getattr(measure(tissue(2) + 0.5), measured)
    assert shifted.generated.low > 0
    assert shifted.at_equal_size.generated.value > shifted.at_equal_size.real_against_real.high
    assert shifted.at_equal_size.unadapted.value > shifted.at_equal_size.generated.high
    assert shifted.unadapted.low > shifted.generated.high


def test_patches_of_other_spots_are_no_more_alike_than_shuffled_ones() -> None:
    order = np.random.default_rng(3).permutation(SPOTS)
    cosine = measure(tissue(2)[order]).cosine
    assert cosine is not None
    assert cosine.generated.low < cosine.shuffled.value < cosine.generated.high


def test_blurred_patches_are_dense_and_cover_little() -> None:
    """All alike, at the mean of the real ones: dense, and most kinds of tissue are never generated."""
    alike = np.repeat(tissue(1).mean(axis=0, keepdims=True), SPOTS, axis=0) + 0.01 * tissue(5)
    found = measure(alike.astype(np.float32))
    equal = found.coverage.at_equal_size
    assert equal.generated.high < equal.real_against_real.low
    assert found.coverage.generated.value < 0.5
    assert found.density.generated.value > found.density.at_equal_size.real_against_real.high


def test_half_of_the_tissue_covers_half() -> None:
    two_kinds = tissue(1) + 8 * (np.arange(SPOTS) % 2)[:, None].astype(np.float32)
    one_kind = tissue(2)
    found = quality_of_features(FeatureSets(two_kinds, one_kind), centres=GRID).coverage
    assert found.generated.value == pytest.approx(0.5, abs=0.05)
    assert found.generated.low < 0.5 < found.generated.high + 0.05


def test_frechet_distance_of_known_gaussians() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(40_000, 3)), 2 * generator.normal(size=(40_000, 3)) + 1
    assert frechet_distance(x, y) == pytest.approx(3 + 3, rel=0.03)  # |(1, 1, 1)|^2 + 3 (1 - 2)^2


def test_frechet_distance_agrees_with_the_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(1)
    for rows in (30, 9):  # more and fewer patches than features
        x, y = generator.normal(size=(rows, 12)), generator.normal(size=(rows + 4, 12)) + 0.3
        a, b = np.cov(x.T), np.cov(y.T)
        root = np.real(sqrtm(a @ b + 1e-12 * np.eye(12)))
        expected = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum() + np.trace(a + b - 2 * root)
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-3)
        draws = resample(rows), resample(rows + 4)
        assert frechet_estimate(x, y, *draws).value == pytest.approx(expected, rel=1e-3)


def test_small_sets_of_one_kind_are_far_apart_by_frechet_and_not_by_kernel() -> None:
    """The stated bias: it is why distances are compared at one size."""
    equal = measure(tissue(2))
    assert equal.frechet.at_equal_size.real_against_real.low > 0.3
    assert abs(equal.kernel.at_equal_size.real_against_real.value) < equal.kernel.at_equal_size.real_against_real.high


def test_ball_counts_on_a_line() -> None:
    real, generated = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array([[0.4], [20.0]])
    density, coverage = ball_counts(distances(real, real), distances(real, generated), k=1)
    assert density.tolist() == [2.0, 0.0]  # in the balls of 0 and 1, whose radius is 1; 20 is 10 from 10, whose radius is 8
    assert coverage.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_halves_share_no_row() -> None:
    first, second = random_halves(9)
    assert first.shape == second.shape == (100, 4)
    assert all(not set(a) & set(b) for a, b in zip(first, second, strict=True))


def test_nearest_other_spot_is_never_the_spot_itself() -> None:
    assert nearest_other(np.array([[0.0, 0], [0, 0], [5, 0], [6, 0]])).tolist() == [1, 0, 3, 2]


def test_patches_that_belong_to_no_spots_have_no_similarity_but_distances() -> None:
    found = quality_of_features(FeatureSets(tissue(1), tissue(2)[:50]), centres=GRID, paired=False)
    assert found.cosine is None
    assert found.kernel.generated.low < 0.05
    assert found.kernel.unadapted is found.kernel.at_equal_size.unadapted is None


def mean_colours(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels.mean(axis=(1, 2)), pixels.std(axis=(1, 2))], axis=1).astype(np.float32)


@pytest.mark.slow
def test_many_patches_are_thinned_and_stay_paired() -> None:
    count = MOST_PATCHES + 200
    colours = np.random.default_rng(0).integers(100, 255, (count, 1, 1, 3), dtype=np.uint8)
    patches = np.repeat(np.repeat(colours, 8, axis=1), 8, axis=2)
    found = measure_image_quality(mean_colours, patches, patches.copy(), seed=4)
    assert found.spots == MOST_PATCHES
    assert found.cosine is not None
    assert found.cosine.generated.value == pytest.approx(1)


def test_same_seed_gives_the_same_result() -> None:
    assert measure(tissue(2), seed=3) == measure(tissue(2), seed=3)
    assert measure(tissue(2), seed=3) != measure(tissue(2), seed=4)


@pytest.mark.parametrize(
    ("real", "generated", "unadapted", "says"),
    [
        (9, 8, None, "8 generated patches do not pair with 9 real ones"),
        (7, 7, None, "7 real and 7 generated patches are too few"),
        (40, 40, 3, "3 unadapted patches are too few beside 40 real ones"),
    ],
)
def test_patches_that_do_not_fit_together_are_refused(real: int, generated: int, unadapted: int | None, says: str) -> None:
    made = [None if n is None else np.zeros((n, 8, 8, 3), np.uint8) for n in (real, generated, unadapted)]
    with pytest.raises(BadInput, match=says):
        measure_image_quality(mean_colours, made[0], made[1], unadapted=made[2])  # type: ignore[arg-type]


def test_patches_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match="different sizes"):
        measure_image_quality(mean_colours, np.zeros((9, 8, 8, 3), np.uint8), np.zeros((9, 16, 16, 3), np.uint8))


def test_map_keeps_kinds_apart_and_is_the_same_again() -> None:
    real, generated, other = tissue(1), tissue(2), tissue(3) + 20
    placed = shared_space(real, generated, other, seed=1)
    assert [part.shape for part in placed] == [(SPOTS, 2)] * 3
    to_other = np.linalg.norm(placed[0].mean(axis=0) - placed[2].mean(axis=0))
    to_generated = np.linalg.norm(placed[0].mean(axis=0) - placed[1].mean(axis=0))
    assert to_other > 3 * to_generated
    again = shared_space(real, generated, other, seed=1)
    np.testing.assert_allclose(again[1], placed[1])


def test_map_of_few_patches_or_of_two_encoders_is_refused() -> None:
    with pytest.raises(BadInput, match="at least five patches"):
        shared_space(tissue(1)[:2], tissue(2)[:2])
    with pytest.raises(BadInput, match="features of one encoder"):
        shared_space(tissue(1), tissue(2)[:, :5])


@pytest.mark.slow
def test_umap_lays_out_the_same_patches() -> None:
    pytest.importorskip("umap")
    placed = shared_space(tissue(1), tissue(2) + 20, method="umap", seed=1)
    assert [part.shape for part in placed] == [(SPOTS, 2)] * 2
    assert np.linalg.norm(placed[0].mean(axis=0) - placed[1].mean(axis=0)) > 2 * placed[0].std()
