"""Every check that a SpotSet passed: what is repaired is noted, what cannot be is refused in one sentence."""

import numpy as np
import pytest
import scipy.sparse
from fakes.small_site import SmallSite
from hypothesis import given
from hypothesis import strategies as st

from c2lst_client.spots.checks import Found, checked, merged_genes, refuse_outside, unique_names, whole_counts
from c2lst_client.spots.scale import pitch_px, slide_scale
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide


def found(tmp_path, **changes):
    site = SmallSite()
    values = {
        "counts": scipy.sparse.csr_matrix(site.counts),
        "count_barcodes": site.barcodes,
        "genes": site.genes,
        "spot_barcodes": site.barcodes,
        "centres": site.centres,
        "slide": Slide(site.write_image(tmp_path)),
        "source": "a test",
        "counts_from": "counts.tsv",
        "spots_from": "spots.tsv",
        "pitch_um": 200.0,
        "um_per_px": None,
    }
    return Found(**(values | changes))


def test_partial_overlap_is_kept_and_told(tmp_path):
    names = SmallSite().barcodes
    spots = checked(found(tmp_path, spot_barcodes=["lost", *names[1:-1], "astray"]))
    assert spots.barcodes == names[1:-1]
    assert np.array_equal(spots.counts.toarray(), SmallSite().counts[1:-1])
    assert np.array_equal(spots.centres, SmallSite().centres[1:-1])
    assert spots.notes[0] == (
        "47 spots are in both tables and are kept; 2 without a position and 2 without counts are left out."
    )


def test_positions_in_another_order_are_joined_by_name(tmp_path):
    order = np.random.default_rng(0).permutation(49)
    site = SmallSite()
    spots = checked(found(tmp_path, spot_barcodes=[site.barcodes[place] for place in order], centres=site.centres[order]))
    assert spots.barcodes == site.barcodes
    assert np.array_equal(spots.centres, site.centres)


def test_tables_of_two_slides_are_refused(tmp_path):
    names = [f"other{number}" for number in range(49)]
    with pytest.raises(
        BadInput, match=r"counts.tsv \(such as '2x2'\) and spots.tsv \(such as 'other0'\) have no spot in common"
    ):
        checked(found(tmp_path, spot_barcodes=names))


def test_spots_without_counts_are_left_out(tmp_path):
    counts = SmallSite().counts.copy()
    counts[3] = 0
    spots = checked(found(tmp_path, counts=scipy.sparse.csr_matrix(counts)))
    assert SmallSite().barcodes[3] not in spots.barcodes
    assert spots.notes[0] == "Left out for want of counts (at most 1% of the median): 1 spots."


def test_nineteen_spots_are_too_few(tmp_path):
    names = SmallSite().barcodes
    checked(found(tmp_path, spot_barcodes=names[:20], centres=SmallSite().centres[:20]))
    with pytest.raises(BadInput, match=r"counts.tsv gives 19 usable spots and 20 are needed"):
        checked(found(tmp_path, spot_barcodes=names[:19], centres=SmallSite().centres[:19]))


def test_two_spots_at_one_place_are_refused(tmp_path):
    centres = SmallSite().centres.copy()
    centres[8] = centres[20]
    with pytest.raises(BadInput, match=r"spots.tsv has '3x3' and '8x4' at one place \(516, 228\)"):
        checked(found(tmp_path, centres=centres))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "t.tsv has the spot 'a' 2 times; keep one of them"),
        (["a", "", "b"], "t.tsv has a spot without a name at position 2"),
        ([], "t.tsv holds no spots"),
    ],
)
def test_names_that_are_not_unique_are_refused(names, message):
    with pytest.raises(BadInput, match=message):
        unique_names(names, "spot", "t.tsv")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"t.tsv holds nan \(spot 'b', gene 'h'\), where a count is needed"),
        (np.inf, r"t.tsv holds inf \(spot 'b', gene 'h'\)"),
        (-2, r"t.tsv holds the negative count -2.0 \(spot 'b', gene 'h'\); give raw counts"),
        (0.25, r"t.tsv holds 0.25 \(spot 'b', gene 'h'\), so it looks log-transformed"),
        (2.0**31, r"t.tsv holds 2147483648.0 \(spot 'b', gene 'h'\), too large for a count"),
    ],
)
def test_values_that_are_no_counts_are_refused_by_place(value, message):
    matrix = scipy.sparse.csr_matrix(np.array([[1.0, 0, 2], [0, value, 3]]))
    with pytest.raises(BadInput, match=message):
        whole_counts(matrix, ["a", "b"], ["g", "h", "i"], "t.tsv")


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_whole_counts_stay_what_they_are(rows):
    names = [str(row) for row in range(len(rows))]
    result = whole_counts(scipy.sparse.csr_matrix(np.array(rows, float)), names, ["g", "h", "i"], "t.tsv")
    assert result.dtype == np.int32
    assert result.toarray().tolist() == rows


@given(genes=st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), data=st.data())
def test_genes_of_one_name_are_summed(genes, data):
    rows = data.draw(st.lists(st.lists(st.integers(0, 9), min_size=len(genes), max_size=len(genes)), min_size=1, max_size=4))
    notes = []
    counts, unique = merged_genes(scipy.sparse.csr_matrix(np.array(rows, np.int32)), genes, "t.tsv", notes)
    assert unique == list(dict.fromkeys(genes))
    expected = [[sum(v for v, g in zip(row, genes, strict=True) if g == gene) for gene in unique] for row in rows]
    assert counts.toarray().tolist() == expected
    assert len(notes) == (len(unique) < len(genes))


def test_sum_that_is_no_count_any_more_is_refused():
    counts = scipy.sparse.csr_matrix(np.array([[2**31 - 1, 1]], np.int32))
    with pytest.raises(BadInput, match="too large for a count"):
        merged_genes(counts, ["a", "a"], "t.tsv", [])


@pytest.mark.parametrize(
    ("size", "centres", "cause"),
    [
        ((600, 300), [(10.0, 20.0), (100.0, 500.0)], "x and y seem to be swapped"),
        ((600, 300), [(10.0, 20.0), (-3.0, 20.0)], "some positions are negative"),
        ((600, 300), [(10.0, 20.0), (3000.0, 1500.0)], r"a smaller copy \(at least 5.0 x\)"),
        ((600, 300), [(10.0, 20.0), (600.0, 20.0)], r"a smaller copy \(at least 1.0 x\)"),
    ],
)
def test_spots_outside_the_image_are_refused_with_the_cause(tmp_path, size, centres, cause):
    from PIL import Image

    Image.new("RGB", size).save(tmp_path / "s.png")
    with pytest.raises(BadInput, match=rf"1 of 2 spots lie outside s.png \(600 x 300 px\), such as 'b' at .*; .*{cause}"):
        refuse_outside(np.array(centres), ["a", "b"], Slide(tmp_path / "s.png"))


def test_pitch_of_a_jittered_grid_is_that_of_the_grid():
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(15), np.arange(15)), axis=-1).reshape(-1, 2) * 72.5
    assert pitch_px(grid + rng.normal(0, 3, grid.shape)) == pytest.approx(72.5, rel=0.01)


def test_pitch_of_a_hexagonal_grid_is_the_distance_of_neighbours():
    rows, columns = np.mgrid[:12, :12]
    grid = np.column_stack([(columns + 0.5 * (rows % 2)).ravel(), (rows * np.sqrt(3) / 2).ravel()]) * 90
    assert pitch_px(grid) == pytest.approx(90)
    assert slide_scale(grid, 100.0, None)[0] == pytest.approx(100 / 90)


def test_implausible_pitch_is_refused():
    with pytest.raises(BadInput, match=r"from the spot pitch \(0.01 px for 200 um\) is not between"):
        slide_scale(SmallSite().centres * 0.01 / 72, 200.0, None)


def test_counts_that_are_all_zero_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"counts.tsv holds no count above 0 for any of its 49 spots; give the raw counts"):
        checked(found(tmp_path, counts=scipy.sparse.csr_matrix((49, 12))))


def test_table_without_genes_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"counts.tsv holds no genes; check that it is the right file"):
        checked(found(tmp_path, counts=scipy.sparse.csr_matrix((49, 0)), genes=[]))


def test_one_spot_is_too_few(tmp_path):
    with pytest.raises(BadInput, match=r"counts.tsv gives 1 usable spot and 20 are needed; use a larger section"):
        checked(found(tmp_path, spot_barcodes=SmallSite().barcodes[:1], centres=SmallSite().centres[:1]))


def test_table_with_genes_in_its_rows_is_refused(tmp_path):
    site = SmallSite(counts=np.tile(SmallSite().counts, 2), genes=[f"Pcp{number}" for number in range(24)])
    turned = {"counts": scipy.sparse.csr_matrix(site.counts.T), "count_barcodes": site.genes, "genes": site.barcodes}
    with pytest.raises(
        BadInput, match=r"has genes in its rows \(such as 'Pcp0'\) and spots in its columns \(such as '2x2'\); transpose"
    ):
        checked(found(tmp_path, **turned))


@pytest.mark.slow
def test_fifty_thousand_spots_pass_in_seconds(tmp_path):
    from time import process_time

    from PIL import Image

    rng = np.random.default_rng(0)
    Image.fromarray(np.tile(SmallSite().pixels[60:540, 60:540], (4, 4, 1))).save(tmp_path / "large.png", compress_level=1)
    places = np.stack(np.meshgrid(np.arange(224), np.arange(224)), axis=-1).reshape(-1, 2)[:50_000] * 8.5 + 4
    names = [f"spot-{number}" for number in range(50_000)]
    counts = scipy.sparse.random(50_000, 18_000, density=0.02, format="csr", random_state=rng)
    counts.data = np.ceil(9 * counts.data)
    genes = [f"Pcp{number % 17_900}" for number in range(18_000)]
    large = {"counts": counts, "count_barcodes": names, "genes": genes, "spot_barcodes": names[::-1], "centres": places[::-1]}
    prepared = found(tmp_path, **large, slide=Slide(tmp_path / "large.png"), pitch_um=16.0)
    began = process_time()
    spots = checked(prepared)
    took = process_time() - began
    print(f"{took:.1f} s")
    assert len(spots) == 50_000
    assert len(spots.genes) == 17_900
    assert took < 40  # seconds of the processor, which other work does not lengthen
