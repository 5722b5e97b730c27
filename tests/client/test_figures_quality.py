"""The figures of image quality show every number and every patch that they are given."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from c2lst_client.evaluate.image_quality import FeatureSets, ImageQuality, quality_of_features
from c2lst_client.study.figures_quality import example_pairs, example_rows, quality_dots, shared_space_scatter


def quality(shift: float = 0.0, *, paired: bool = True) -> ImageQuality:
    real, generated, unadapted = (np.random.default_rng(seed).normal(size=(40, 6)).astype(np.float32) for seed in range(3))
    return quality_of_features(FeatureSets(real, generated, unadapted + np.float32(shift)), paired=paired)


def drawn(figure: Figure) -> str:
    """The words of a figure, as SVG has them: it is really drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue().decode()


def test_each_measure_has_its_panel_with_floor_and_ceiling() -> None:
    figure = quality_dots(quality())
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:5] == [
        "cosine similarity of pairs",
        "kernel distance (KID)",
        "Frechet distance (FID)",
        "density",
        "coverage",
    ]
    names = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert names == ["real against real", "generated", "unadapted", "generated, all spots", "unadapted, all"]
    assert "20 patches against" in "".join(text.get_text() for text in figure.axes[5].texts)
    drawn(figure)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, "linear"), (100.0, "symlog")])
def test_axis_is_logarithmic_only_where_one_number_dwarfs_the_others(shift: float, scale: str) -> None:
    figure = quality_dots(quality(shift))
    assert figure.axes[2].get_xscale() == scale
    drawn(figure)


def test_patches_without_spots_have_a_sentence_in_place_of_the_cosine() -> None:
    figure = quality_dots(quality(paired=False))
    assert "belong to no spots" in figure.axes[0].texts[0].get_text()


def test_map_names_each_set_with_its_size() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2))
    figure = shared_space_scatter({"real": points, "generated": points[:20] + 1})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real (30)", "generated (20)"]
    assert [len(group.get_offsets()) for group in figure.axes[0].collections] == [30, 20]


def test_strip_shows_the_chosen_pairs_real_above_generated() -> None:
    real = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    figure = example_pairs(real, 255 - real, patch_um=55.2, seed=2)
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    rows = example_rows(30, seed=2)
    assert len(rows) == 12
    np.testing.assert_array_equal(shown[:12], real[rows])
    np.testing.assert_array_equal(shown[12:], 255 - real[rows])
    assert "12 of 30 spots, chosen by lot; a patch is 55" in figure.get_supxlabel()


def test_few_spots_are_all_shown() -> None:
    assert example_rows(3).tolist() == [0, 1, 2]
