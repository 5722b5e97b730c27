"""Drawn nuclei are counted and measured; generated tissue that follows the real is told from tissue that does not."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.drawn_nuclei import drawn_nuclei, how_many

from c2lst_client.evaluate.composition import Composition, compare_composition, measure_composition
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_client.evaluate.nuclei_outlines import countable, outline_nuclei
from c2lst_client.evaluate.spot_values import PerSpot, ValueComparison, compare_values
from c2lst_client.evaluate.statistics import resample
from c2lst_client.evaluate.wasserstein import wasserstein, wasserstein_estimate
from c2lst_shared.errors import BadInput

UM_PER_PX = 0.86  # 55 um over 64 px
SPOTS = 40
COUNTS = np.random.default_rng(0).integers(2, how_many(), SPOTS)
CENTRES = np.stack(np.meshgrid(np.arange(8.0), np.arange(5.0)), axis=-1).reshape(-1, 2)


def compare(generated: np.ndarray, **options: object) -> Composition:
    given = {"um_per_px": UM_PER_PX, "centres": CENTRES} | options
    return compare_composition(drawn_nuclei(COUNTS, seed=1), generated, **given)  # type: ignore[arg-type]


def measure_of(result: Composition, start: str) -> ValueComparison:
    return next(measure for measure in result.measures if measure.name.startswith(start))


@pytest.mark.parametrize(("radii", "eccentricity"), [((4.0, 4.0), 0.0), ((5.0, 3.0), 0.8)])
def test_number_area_and_shape_of_drawn_nuclei(radii: tuple[float, float], eccentricity: float) -> None:
    patches = drawn_nuclei([1, 5, 9, 12], radii=radii)
    found = measure_composition(patches, threshold=nuclear_threshold(patches), um_per_px=UM_PER_PX)
    area_mm2 = (64 * UM_PER_PX) ** 2 * 1e-6
    assert found.nuclei_per_mm2 is not None
    assert found.nuclear_area is not None
    assert found.eccentricity is not None
    np.testing.assert_allclose(found.nuclei_per_mm2 * area_mm2, [1, 5, 9, 12])
    np.testing.assert_allclose(found.nuclear_area, np.pi * np.prod(radii) * UM_PER_PX**2, rtol=0.15)
    np.testing.assert_allclose(found.eccentricity, eccentricity, atol=0.35 if eccentricity == 0 else 0.08)


def test_shares_are_those_of_the_drawing_and_sum_to_one() -> None:
    patches = drawn_nuclei([0, 6], glass=0.25)
    found = measure_composition(patches, threshold=nuclear_threshold(drawn_nuclei([9, 9])), um_per_px=UM_PER_PX)
    np.testing.assert_allclose(found.empty, 0.25, atol=0.03)
    np.testing.assert_allclose(found.nuclear, [0, 6 * np.pi * 16 / 64**2], atol=0.02)
    np.testing.assert_allclose(found.nuclear + found.stroma + found.empty, 1)


def test_patch_without_nuclei_has_none_and_no_mean_area() -> None:
    found = measure_composition(drawn_nuclei([0]), threshold=nuclear_threshold(drawn_nuclei([9, 9])), um_per_px=UM_PER_PX)
    assert found.nuclei_per_mm2 == [0]
    assert np.isnan(found.nuclear_area).all()


def test_touching_nuclei_are_told_apart() -> None:
    from skimage.draw import disk

    patch = drawn_nuclei([0])[0]
    for centre in ((30, 26), (30, 34)):
        patch[disk(centre, 5)] = (78, 58, 140)
    assert len(np.unique(outline_nuclei(patch, nuclear_threshold(patch[None]), UM_PER_PX))) - 1 == 2


def test_nucleus_between_two_patches_is_counted_once() -> None:
    from skimage.draw import disk

    whole = np.concatenate(drawn_nuclei([0, 0]), axis=1)
    whole[disk((32, 64), 4)] = (78, 58, 140)
    halves = np.stack([whole[:, :64], whole[:, 64:]])
    found = measure_composition(halves, threshold=nuclear_threshold(halves), um_per_px=UM_PER_PX)
    assert found.nuclei_per_mm2 is not None
    assert (found.nuclei_per_mm2 > 0).sum() == 1
    assert np.isnan(found.nuclear_area).all()  # cut in two, its area is not known


def test_tissue_that_follows_is_in_concordance_up_to_its_ceiling() -> None:
    found = compare(drawn_nuclei(COUNTS, seed=2))
    assert found.countable
    assert found.limits == []
    assert len(found.measures) == 6
    number = measure_of(found, "nuclei")
    assert number.concordance.value > 0.99
    assert number.concordance.low > number.concordance_shuffled.high
    assert number.concordance_real_neighbours is not None
    assert number.concordance_real_neighbours.value < 0.5  # neighbours were drawn independently
    equal = number.wasserstein.at_equal_size
    assert equal.real_against_real.low < equal.generated.value < equal.real_against_real.high


def test_tissue_of_other_spots_is_spread_alike_without_concordance() -> None:
    others = np.random.default_rng(4).permutation(COUNTS)
    number = measure_of(compare(drawn_nuclei(others, seed=2)), "nuclei")
    assert number.concordance_shuffled.low < number.concordance.value < number.concordance_shuffled.high
    assert number.concordance.low < 0.1
    assert number.wasserstein.generated.value == pytest.approx(0, abs=1e-6)


def test_nuclei_too_large_are_found_by_area_and_not_by_number() -> None:
    found = compare(drawn_nuclei(np.minimum(COUNTS, 9), radii=(6.0, 6.0), seed=2), unadapted=drawn_nuclei([0] * 30))
    area = measure_of(found, "mean area")
    expected = np.pi * (36 - 16) * UM_PER_PX**2
    assert area.wasserstein.generated.value == pytest.approx(expected, rel=0.25)
    assert area.wasserstein.at_equal_size.generated.low > area.wasserstein.at_equal_size.real_against_real.high
    assert area.wasserstein.unadapted is None  # unadapted patches have no nuclei to measure
    share = measure_of(found, "nuclear share").wasserstein
    assert share.unadapted is not None
    assert share.unadapted.low > 0


def test_coarse_patches_are_measured_by_area_alone_and_say_so() -> None:
    found = compare(drawn_nuclei(COUNTS, seed=2), um_per_px=2.75)
    assert not found.countable
    assert [measure.unit for measure in found.measures] == [""] * 3
    assert found.limits == [
        "At 2.75 um per px a nucleus is about 2.5 px across, and fewer than 4 do not tell nuclei apart: "
        "only shares of the area are measured."
    ]
    assert [countable(um) for um in (0.5, 1.75, 1.8)] == [True, True, False]


def test_generated_patches_without_nuclei_leave_a_sentence() -> None:
    found = compare(drawn_nuclei([0] * SPOTS, seed=2))
    assert [limit.split(", so the ")[1] for limit in found.limits] == [
        "mean area of a nucleus is not compared.",
        "mean eccentricity of nuclei is not compared.",
    ]
    number = measure_of(found, "nuclei")
    assert number.generated_mean.value == 0
    assert number.r.value == 0
    assert number.wasserstein.generated.value == pytest.approx(number.real_mean.value)


def test_same_seed_gives_the_same_result() -> None:
    generated = drawn_nuclei(COUNTS, seed=2)
    assert compare(generated, seed=1) == compare(generated, seed=1)
    assert compare(generated, seed=1) != compare(generated, seed=2)


@pytest.mark.parametrize(
    ("generated", "options", "says"),
    [
        (drawn_nuclei([1] * 39), {}, "do not pair"),
        (drawn_nuclei([1] * 40), {"centres": CENTRES[:3]}, "3 positions for 40 real patches"),
        (drawn_nuclei([1] * 40), {"um_per_px": 0.0}, "is no resolution"),
    ],
)
def test_patches_that_do_not_fit_are_refused(generated: np.ndarray, options: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        compare(generated, **options)


def test_wasserstein_agrees_with_scipy_and_moves_with_a_shift() -> None:
    from scipy.stats import wasserstein_distance

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=31), 1 + 2 * generator.normal(size=44)
    assert wasserstein(x, y) == pytest.approx(wasserstein_distance(x, y))
    assert wasserstein(x, x + 3) == pytest.approx(3)
    draws = resample(31)
    found = wasserstein_estimate(x, x + 3, draws, draws).interval(0)
    assert (found.low, found.high) == pytest.approx((3, 3))


def test_null_values_show_no_concordance_at_the_stated_rate() -> None:
    """Of many pairs of unrelated numbers, about one in twenty leaves the range of shuffled pairs."""
    generator = np.random.default_rng(0)
    outside = 0
    for seed in range(40):
        found = compare_values(PerSpot(generator.normal(size=30), generator.normal(size=30)), name="x", unit="", seed=seed)
        assert found is not None
        outside += not found.concordance_shuffled.low <= found.concordance.value <= found.concordance_shuffled.high
    assert outside <= 6


def test_values_of_too_few_spots_are_not_compared() -> None:
    nearly_all_missing = np.where(np.arange(30) < 7, 1.0, np.nan)
    assert compare_values(PerSpot(nearly_all_missing, np.ones(30)), name="x", unit="") is None


@pytest.mark.slow
def test_two_hundred_patches_take_seconds() -> None:
    import time

    patches = drawn_nuclei([how_many()] * 200)
    start = time.perf_counter()
    measure_composition(patches, threshold=nuclear_threshold(patches), um_per_px=UM_PER_PX)
    assert time.perf_counter() - start < 15  # 2 s on an idle core
