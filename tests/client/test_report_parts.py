"""The pieces of a report: words, groups of spots, chosen genes, maps, colours."""

import base64
import io
from itertools import pairwise

import numpy as np
import pytest
from fakes.blobs import blob_patches
from fakes.report_data import bare_inputs, cotrain_result, split_of, spot_table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from c2lst_client.evaluate.results import Interval
from c2lst_client.report import clusters, genes, likeness, tissue, words
from c2lst_client.report.charts import printable
from c2lst_client.report.gene_figures import spread
from c2lst_client.report.inputs import SlideView
from c2lst_client.report.theme import themes

MINUS, TIMES, NBSP = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{NO-BREAK SPACE}"


def decoded(uri, mode="RGB"):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert(mode), dtype=int)


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.0201, f"{MINUS}2.0{NBSP}%"), (0.0149, f"+1.5{NBSP}%"), (-0.0001, f"0.0{NBSP}%"), (0.0, f"0.0{NBSP}%")],
)
def test_change_is_shown_with_its_sign(value, text):
    assert words.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.5, f"{MINUS}0.50"), (-0.001, "0.00"), (0.125, "0.12"), (float("nan"), "not defined")]
)
def test_decimal_has_a_true_minus_and_no_negative_zero(value, text):
    assert words.decimal(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7.24, f"7.2{NBSP}s"), (59.97, f"1{NBSP}min 00{NBSP}s"), (125, f"2{NBSP}min 05{NBSP}s"), (4320, f"1{NBSP}h 12{NBSP}min")],
)
def test_duration_reads_like_a_clock(seconds, text):
    assert words.duration(seconds) == text


def test_typesetting_leaves_words_alone():
    assert (
        words.typeset("real + synthetic x10: -2.0 % for Cell-2 at x")
        == f"real + synthetic {TIMES}10: {MINUS}2.0{NBSP}% for Cell-2 at x"
    )


def test_headline_is_the_first_sentence():
    assert words.headline("It fell by 2.0 % here. It beats nothing. Done.") == (
        "It fell by 2.0 % here.",
        "It beats nothing. Done.",
    )
    assert words.headline("One sentence.") == ("One sentence.", "")


def test_command_quotes_what_a_shell_would_read_otherwise():
    assert words.command("adapt", "a; rm -r b") == "c2lst-client adapt --site 'a; rm -r b'"


@pytest.mark.parametrize(("low", "high", "tone"), [(-0.2, -0.1, "good"), (0.1, 0.2, "bad"), (-0.1, 0.1, "unclear")])
def test_only_an_interval_clear_of_zero_has_a_tone(low, high, tone):
    assert words.tone(Interval(value=(low + high) / 2, low=low, high=high)) == tone


@given(st.lists(st.floats(0, 1), max_size=12).map(sorted))
def test_names_in_a_margin_keep_order_and_distance(heights):
    placed = spread(np.array(heights), gap=0.05)
    assert len(placed) == len(heights)
    assert all(above - below >= 0.05 - 1e-9 for below, above in pairwise(placed))
    assert all(height <= 1 for height in placed)


def test_names_that_are_far_apart_stay_where_they_are():
    assert spread(np.array([0.1, 0.5, 0.9]), gap=0.05) == [0.1, 0.5, 0.9]


def test_printable_name_has_no_control_characters_and_an_end():
    assert printable("a\nb\u202e") == "a?b?"
    assert printable("x" * 40, 10) == "x" * 9 + "…"
    assert printable("CD8\N{GREEK SMALL LETTER ALPHA}") == "CD8\N{GREEK SMALL LETTER ALPHA}"


def test_planted_halves_are_found_as_groups():
    spots = spot_table(side=5)
    labels = clusters.k_means(spots.expression)
    left = spots.centres[:, 0] < spots.centres[:, 0].mean()
    assert len(set(labels)) == 2
    assert len(set(labels[left])) == len(set(labels[~left])) == 1


def test_few_extreme_spots_make_no_group_of_their_own():
    spots = spot_table(side=5)
    spots.expression[:2] *= 40
    assert np.bincount(clusters.k_means(spots.expression)).min() > 5


def test_given_groups_are_named_by_size_and_described_by_their_genes():
    inputs = bare_inputs()
    right = inputs.spots.centres[:, 0] > inputs.spots.centres[:, 0].mean()
    groups = clusters.find_clusters(type(inputs)(**{**vars(inputs), "clusters": right.astype(int)}))
    assert [(group.letter, len(group.members)) for group in groups] == [("A", 28), ("B", 21)]
    assert set(groups[1].genes) == {f"Gene{i}" for i in range(1, 12, 2)}


def test_examples_are_drawn_at_random_but_always_the_same():
    drawn = clusters.draw_examples(np.arange(100), 8)
    assert len(set(drawn)) == 8
    assert np.array_equal(drawn, clusters.draw_examples(np.arange(100), 8))
    assert not np.array_equal(drawn, np.arange(8))


def test_genes_to_map_are_the_best_predicted_and_the_most_changed():
    spots = spot_table()
    result, _ = cotrain_result(spots, split_of(spots))
    results = genes.gene_results(result)
    chosen = genes.choose_genes(results, None)
    names = [entry.gene for entry, _ in chosen]
    assert len(names) == len(set(names))
    assert names[0] == max(results, key=lambda entry: entry.r_after).gene
    assert min(results, key=lambda entry: entry.change).gene in names


def gene_result(r, change):
    return genes.GeneResult("G", 0, mae_before=1.0, mae_after=1 + change, r_before=r, r_after=r)


def test_change_is_told_apart_for_genes_that_tissue_predicts_best():
    results = [gene_result(r, change) for r, change in [(0.1, -0.2), (0.9, 0.3), (0.2, -0.1), (0.0, -0.3)]]
    assert genes.change_by_predictability(results) == pytest.approx((0.3, -0.2))
    assert genes.change_by_predictability(results[:1]) == pytest.approx((-0.2, -0.2))


@pytest.mark.parametrize(
    ("best", "others", "meaning"),
    [
        (0.05, -0.03, "more cautious rather than sharper"),
        (-0.02, -0.01, "reaches the genes"),
        (-0.02, 0.01, "other genes pay for it"),
        (0.02, 0.01, "no gain to explain"),
    ],
)
def test_gain_in_genes_that_tissue_hardly_predicts_is_not_sold_as_sharpness(best, others, meaning):
    assert meaning in words.explain_genes(best, others)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda patches: np.random.default_rng(0).integers(0, 256, patches.shape, dtype=np.uint8), "as rough as real ones"),
        (lambda patches: np.broadcast_to(patches.mean(axis=(1, 2), keepdims=True), patches.shape), "the texture of real ones"),
        (lambda patches: patches - np.minimum(patches, 60), "of 255 levels off"),
    ],
    ids=["noise", "blur", "colour"],
)
def test_patches_that_cannot_be_tissue_are_told_from_real_ones(spoil, fault):
    real = blob_patches(np.linspace(0, 1, 20), px=32, seed=1)
    assert any(fault in found for found in likeness.compare(real, spoil(real)).faults)


def test_other_patches_of_the_same_tissue_have_no_fault():
    density = np.linspace(0, 1, 20)
    found = likeness.compare(blob_patches(density, px=32, seed=1), blob_patches(density, px=32, seed=2))
    assert found.faults == []
    assert found.roughness == pytest.approx(1, abs=0.2)


def test_spots_are_painted_in_their_colour_where_they_lie():
    spots = spot_table()
    extent = tissue.extent_of(spots)
    picture = decoded(tissue.spot_map(spots, extent, np.array([0]), "#ff0000"), "RGBA")
    x, y = (spots.centres[0] - [extent.left, extent.top]) / [extent.width, extent.height]
    height, width = picture.shape[:2]
    assert np.abs(picture[round(y * height), round(x * width)] - (255, 0, 0, 255)).max() < 8
    assert picture[2, 2, 3] == 0


def test_slide_under_the_map_is_white_where_it_ends():
    slide = SlideView(np.full((100, 100, 3), 60, np.uint8), slide_px_per_px=2.0)
    picture = decoded(tissue.slide_uri(slide, tissue.Extent(-40, 0, 160, 120)))
    assert picture.shape == (60, 80, 3)
    assert picture[30, 5].min() > 240
    assert picture[30, 60].max() < 80


def test_patch_survives_the_page_but_not_above_its_size():
    patch = np.full((224, 224, 3), (200, 120, 180), np.uint8)
    picture = decoded(tissue.patch_uri(patch))
    assert picture.shape == (128, 128, 3)
    assert np.abs(picture - (200, 120, 180)).max() <= 3


@pytest.mark.parametrize(("width", "um_per_px", "text"), [(2000, 2.75, "1 mm"), (1000, 0.25, "50 µm"), (900, 2.5, "500 µm")])
def test_scale_bar_is_round_and_true(width, um_per_px, text):
    label, share = tissue.scale_bar(tissue.Extent(0, 0, width, 1), um_per_px)
    assert label == text
    micrometres = float(label.split()[0]) * (1000 if "mm" in label else 1)
    assert share * width * um_per_px == pytest.approx(micrometres)


def test_values_outside_the_scale_take_its_ends():
    colours = tissue.value_colours(np.array([-9.0, 0.0, 1.0, 9.0]), 0.0, 1.0)
    assert np.array_equal(colours[0], colours[1])
    assert np.array_equal(colours[2], colours[3])
    assert tissue.value_colours(np.array([3.0]), 3.0, 3.0).shape == (1, 4)


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_text_colours_stand_out(theme, ground):
    for name in set(theme) - {"paper", "card", "line"}:
        low, high = sorted((luminance(theme[name]), luminance(theme[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def test_both_themes_define_the_same_colours():
    light, dark = themes()
    assert light.keys() == dark.keys()
    assert luminance(light["paper"]) > 0.8 > 0.1 > luminance(dark["paper"])
