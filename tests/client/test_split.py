"""A split is disjoint, covering, of the size asked for, the same for any order of the spots; a blocked one never overlaps."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2lst_client.spots.split import METHODS, Split, split_spots
from c2lst_shared.errors import BadArtefact, BadInput


@dataclass(frozen=True)
class Places:
    """Spots that have only names and places: all that a split may look at."""

    barcodes: list[str]
    centres: np.ndarray
    um_per_px: float = 2.0
    genes: tuple = ()
    counts: None = None


def grid(columns, rows, pitch=100.0):
    ticks = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    return Places([f"{x}x{y}" for x, y in ticks], ticks * pitch)


many = st.builds(grid, st.integers(6, 14), st.integers(6, 14), st.sampled_from([20.0, 60.0, 100.0]))
fractions = st.sampled_from([0.25, 0.3, 0.5, 0.7])
quick = settings(deadline=None, max_examples=50)


def tried(spots, **choice):
    """The split, or None where a part would be too small."""
    try:
        return split_spots(spots, **choice)
    except BadInput:
        return None


@quick
@given(many, st.floats(20, 300), fractions, st.sampled_from(METHODS), st.integers(0, 2**32))
def test_parts_are_disjoint_and_covering_and_of_the_size_asked_for(spots, patch_um, fraction, method, seed):
    split = tried(spots, patch_um=patch_um, fraction=fraction, method=method, seed=seed)
    if split is None:
        return
    assert sorted([*split.train, *split.test, *split.dropped]) == sorted(spots.barcodes)
    assert len(split.train) == round(fraction * len(spots.barcodes))
    assert method == "blocked" or not split.dropped
    assert min(len(split.train), len(split.test)) >= 10


@quick
@given(many, st.floats(20, 300), fractions, st.sampled_from(METHODS), st.integers(0, 2**32), st.randoms())
def test_order_of_the_spots_does_not_matter(spots, patch_um, fraction, method, seed, random):
    order = list(range(len(spots.barcodes)))
    random.shuffle(order)
    shuffled = Places([spots.barcodes[row] for row in order], spots.centres[order])
    choice = {"patch_um": patch_um, "fraction": fraction, "method": method, "seed": seed}
    assert tried(spots, **choice) == tried(shuffled, **choice)


def overlapping_pairs(spots, split):
    side = split.patch_um / spots.um_per_px
    train, test = split.rows(spots.barcodes)
    apart = np.abs(spots.centres[train][:, None] - spots.centres[test][None]).max(axis=2)
    return apart < side


@quick
@given(many, st.floats(20, 300), fractions, st.integers(0, 2**32))
def test_blocked_split_never_overlaps(spots, patch_um, fraction, seed):
    split = tried(spots, patch_um=patch_um, fraction=fraction, method="blocked", seed=seed)
    if split is not None:
        assert not overlapping_pairs(spots, split).any()
        assert split.overlapping == 0


def test_random_split_counts_the_test_spots_that_overlap():
    spots = grid(10, 10)
    split = split_spots(spots, patch_um=250.0, seed=3)  # 125 px on a grid of 100 px
    assert split.overlapping == overlapping_pairs(spots, split).any(axis=0).sum() > 0
    assert split_spots(spots, patch_um=150.0, seed=3).overlapping == 0


def test_blocked_training_spots_lie_on_one_side_of_a_line():
    spots = grid(12, 12)
    for seed in range(8):
        split = split_spots(spots, patch_um=210.0, method="blocked", seed=seed)
        train, test = split.rows(spots.barcodes)
        inner, outer = spots.centres[train].mean(axis=0), spots.centres[test].mean(axis=0)
        # Linear separability, by a perceptron: it ends only if a line divides the parts.
        points = np.column_stack([spots.centres / 1000, np.ones(len(spots.centres))])
        signs = np.zeros(len(points))
        signs[train], signs[test] = 1, -1
        weights = np.array([*(inner - outer) / 1000, 0.0])
        for _ in range(20_000):
            wrong = np.flatnonzero((points @ weights) * signs < -1e-9)
            if not len(wrong):
                break
            weights += signs[wrong[0]] * points[wrong[0]]
        else:
            pytest.fail(f"no line divides the parts of seed {seed}")
        assert len(split.dropped) > 0


def test_seeds_give_different_splits_and_one_seed_the_same():
    spots = grid(10, 10)
    for method in METHODS:
        first = split_spots(spots, 100.0, 0.25, method, 1)
        assert first == split_spots(spots, 100.0, 0.25, method, 1)
        assert first.train != split_spots(spots, 100.0, 0.25, method, 2).train


def test_random_split_is_the_same_for_ever():
    split = split_spots(grid(7, 7), 100.0, 0.25, "random", 7)
    assert split.train == RANDOM_7
    assert split.fingerprint != split_spots(grid(7, 7), 100.0, 0.25, "random", 8).fingerprint


def test_training_spots_of_a_random_split_are_spread_evenly():
    spots = grid(10, 10)
    times = np.zeros(100)
    for seed in range(400):
        train, _ = split_spots(spots, 100.0, 0.25, "random", seed).rows(spots.barcodes)
        times[train] += 1
    assert abs(times.mean() - 100) < 1e-9
    assert 60 < times.min() <= times.max() < 140  # binomial: sd 8.7


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_outside_0_and_1_is_refused(fraction):
    with pytest.raises(BadInput, match="is not between 0 and 1"):
        split_spots(grid(10, 10), 100.0, fraction)


def test_unknown_method_is_refused():
    with pytest.raises(BadInput, match="no split method 'stripes'; choose one of random, blocked"):
        split_spots(grid(10, 10), 100.0, 0.25, "stripes")


@pytest.mark.parametrize(
    ("fraction", "message"),
    [(0.05, "leaves 5 training spots and 10 are needed"), (0.95, "leaves 5 held-out spots and 10 are needed")],
)
def test_part_of_fewer_than_ten_spots_is_refused(fraction, message):
    with pytest.raises(BadInput, match=message):
        split_spots(grid(10, 10), 100.0, fraction)


def test_margin_that_leaves_too_few_is_refused():
    with pytest.raises(BadInput, match=r"A blocked split with fraction 0.5 of 100 spots leaves 0 held-out spots"):
        split_spots(grid(10, 10), 5000.0, 0.5, "blocked")


def test_split_survives_its_file_and_finds_its_rows(tmp_path):
    spots = grid(10, 10)
    split = split_spots(spots, 100.0)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    train, test = split.rows(spots.barcodes)
    assert [spots.barcodes[row] for row in train] == [name for name in spots.barcodes if name in split.train]
    assert len(train) + len(test) == 100
    with pytest.raises(BadArtefact, match=r"2 spots of the split, such as '.*', are not among these spots"):
        split.rows([name for name in spots.barcodes if name not in (split.train[0], split.test[0])])


def test_split_file_with_a_spot_in_two_parts_is_refused(tmp_path):
    split = split_spots(grid(10, 10), 100.0)
    text = split.model_dump_json().replace(f'"test":["{split.test[0]}"', f'"test":["{split.train[0]}"')
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(BadArtefact, match="a barcode is in two parts"):
        Split.load(tmp_path / "split.json")


# sorted(names, key=sha256("7:" + name))[:12], sorted
RANDOM_7 = ("0x1", "0x6", "1x2", "1x6", "2x3", "3x0", "4x2", "4x5", "4x6", "5x2", "5x3", "5x5")
