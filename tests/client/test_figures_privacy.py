"""Figures of the privacy measurement hold what they say they hold."""

import numpy as np
import pytest
from fakes.privacy_results import attack, nearest

from c2lst_client.privacy.neighbours import Places, nearest_in_features
from c2lst_client.privacy.roc import draws, measure_attack
from c2lst_client.study.figures_privacy import closest_pairs_figure, distances_figure, roc_figure
from c2lst_shared.errors import BadInput


def measured(name, shift, others=150):
    rng = np.random.default_rng(0)
    drawn = draws(rng.uniform(0, 1000, size=(80, 2)), rng.uniform(0, 1000, size=(others, 2)))
    return measure_attack(name, rng.normal(shift, 1, 80), rng.normal(0, 1, others), drawn)


def test_roc_shows_every_attack_with_its_auc_and_the_mark_at_one_percent(tmp_path):
    attacks = [measured("loss calibrated by the backbone's", 1), measured("loss", 0.4)]
    figure = roc_figure(attacks, measured("loss of the backbone alone", 0))
    figure.savefig(tmp_path / "roc.png")
    (axes,) = figure.axes
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "guessing"
    assert labels[1].startswith(f"loss calibrated by the backbone's, AUC {attacks[0].auc.value:.2f} [")
    assert labels[3].startswith("control: loss of the backbone alone")
    (mark,) = axes.containers
    assert mark.lines[0].get_xydata().tolist() == [[0.01, attacks[0].tpr.value]]
    assert axes.get_xscale() == "log"


def test_few_non_members_are_told_in_the_roc(tmp_path):
    figure = roc_figure([measured("loss", 1, others=20)], measured("control", 0, others=20))
    figure.savefig(tmp_path / "roc.png")
    assert "no false positive\namong 20 non-members" in figure.axes[0].texts[0].get_text()


def test_more_attacks_than_line_styles_are_refused():
    with pytest.raises(BadInput, match="5 attacks cannot be drawn"):
        roc_figure([attack()] * 5, attack())


def test_distances_are_shares_of_both_sets(tmp_path):
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(count, 8)) for count in (200, 60, 80)]
    places = Places(*(rng.uniform(0, 1000, size=(len(rows), 2)) for rows in sets))
    figure = distances_figure(nearest_in_features("expression", *sets, places))
    figure.savefig(tmp_path / "distances.png")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "distance in expression, z-scores"
    assert "sets of 60 spots" in axes.get_title(loc="left")
    assert distances_figure(nearest(basis="pixels")).axes[0].get_xlabel().endswith("grey levels")


def test_strip_has_a_column_per_pair(tmp_path):
    patches = np.random.default_rng(0).integers(0, 256, size=(3, 5, 16, 16, 3), dtype=np.uint8)
    figure = closest_pairs_figure(*patches)
    figure.savefig(tmp_path / "strip.png")
    assert len(figure.axes) == 15
    assert np.array_equal(figure.axes[7].images[0].get_array(), patches[1, 2])
    with pytest.raises(BadInput, match="4 generated, 5 training and 5 held-out"):
        closest_pairs_figure(patches[0, :4], patches[1], patches[2])
