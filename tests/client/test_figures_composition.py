"""The figures of composition draw each measure, what it is held against, and the nuclei that were counted."""

from __future__ import annotations

import io

import numpy as np
import pytest
from fakes.drawn_nuclei import drawn_nuclei
from matplotlib.figure import Figure

from c2lst_client.evaluate.composition import Composition, compare_composition
from c2lst_client.evaluate.nuclei import nuclear_threshold
from c2lst_client.study.figures_composition import composition_panels, nuclei_overlays, value_panels
from c2lst_shared.errors import BadInput

COUNTS = np.random.default_rng(0).integers(1, 16, 24)
REAL, GENERATED = drawn_nuclei(COUNTS, seed=1), drawn_nuclei(COUNTS[::-1], seed=2)


def composition(**options: object) -> Composition:
    return compare_composition(REAL, GENERATED, **({"um_per_px": 0.86} | options))  # type: ignore[arg-type]


def drawn(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="svg")


def test_each_measure_has_its_spots_and_its_distances() -> None:
    found = composition(unadapted=drawn_nuclei([2] * 24, seed=3))
    figure = composition_panels(found)
    upper, lower = figure.axes[:6], figure.axes[6:]
    assert [axes.get_title(loc="left").splitlines()[0] for axes in upper] == [
        "nuclear share",
        "tissue without nuclei",
        "empty share",
        "nuclei",
        "mean area of a nucleus",
        "mean eccentricity of nuclei",
    ]
    np.testing.assert_allclose(upper[3].collections[0].get_offsets()[:, 0], found.measures[3].real)
    names = [label.get_text() for label in lower[0].get_yticklabels()]
    assert names == ["real against real", "generated", "unadapted", "generated, all"]
    assert upper[3].get_xlabel() == "real patches, per mm²"
    drawn(figure)


def test_what_was_not_measured_is_written_below() -> None:
    figure = composition_panels(composition(um_per_px=2.4))
    assert len(figure.axes) == 6
    assert "do not tell nuclei apart" in figure.get_supxlabel()
    assert "unadapted" not in [label.get_text() for label in figure.axes[3].get_yticklabels()]
    drawn(figure)


def test_overlay_counts_what_it_outlines() -> None:
    figure = nuclei_overlays(REAL, GENERATED, threshold=nuclear_threshold(REAL), um_per_px=0.86, count=24)
    titles = [axes.get_title() for axes in figure.axes]
    expected = [f"{count} nuclei" if count != 1 else "1 nucleus" for count in COUNTS]
    assert titles == expected + expected[::-1]
    assert [len(axes.collections) for axes in figure.axes[:24]] == COUNTS.tolist()
    drawn(figure)


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(BadInput, match="nothing to draw"):
        value_panels([])
