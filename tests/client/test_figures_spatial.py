"""Maps and charts of the slide show what was measured."""

import numpy as np
from fakes.blobs import blob_patches
from fakes.planted_slide import PITCH, blurred, square_array, territories, two_territories
from matplotlib.figure import Figure

from c2lst_client.evaluate.boundaries import measure_boundaries
from c2lst_client.evaluate.spatial import measure_spatial
from c2lst_client.report.inputs import SlideView
from c2lst_client.study import figures_spatial as figures

SIDE, GENES = 14, 40
CLEAN, MEASURED = two_territories(SIDE, GENES, noise=1.0, seed=0)
ARMS = {
    "mean": np.zeros_like(CLEAN),
    "real": blurred(0.6 * CLEAN, SIDE, 2.0),
    "real + synthetic x5": 0.7 * CLEAN + 0.1 * np.random.default_rng(3).normal(size=CLEAN.shape),
}


def texts(figure: Figure) -> str:
    from matplotlib.text import Text

    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def a_map(*, slide: bool = True) -> Figure:
    pixels = blob_patches([0.4], px=int(PITCH * SIDE / 4), seed=3)[0]
    view = SlideView(pixels, slide_px_per_px=4.6) if slide else None
    return figures.gene_maps("Pcp4", MEASURED[:, 0], ARMS["real"][:, 0], square_array(SIDE), 2.75, view)


def test_maps_share_the_scale_of_measured_and_predicted_and_centre_the_residual():
    figure = a_map()
    words = texts(figure)
    measured, predicted, residual = (axes.collections[0] for axes in figure.axes[:3])
    assert measured.get_clim() == predicted.get_clim()
    assert residual.get_clim()[0] == -residual.get_clim()[1]
    np.testing.assert_allclose(residual.get_array(), measured.get_array() - predicted.get_array())
    assert "Pcp4 on 196 held-out spots" in words
    assert "µm" in words


def test_maps_are_drawn_without_a_slide():
    assert not a_map(slide=False).axes[0].images


def test_pairs_show_a_line_for_each_gene_and_count_patterns():
    result = measure_spatial(MEASURED, ARMS, square_array(SIDE), [f"Gene{g}" for g in range(GENES)])
    figure = figures.morans_pairs(result)
    words = texts(figure)
    assert f"measured\n{GENES} of {GENES}" in words
    assert f"mean\n{GENES} of {GENES}" in words  # its residuals are the expression itself
    assert sum(len(line.get_xdata()) == 3 and line.get_linewidth() == 0.5 for line in figure.axes[0].lines) == GENES


def test_borders_say_where_nothing_is_told_apart():
    result = measure_boundaries(MEASURED, ARMS, territories(SIDE), square_array(SIDE))
    words = texts(figures.boundary_chart(result))
    assert "sees no difference between the clusters" in words
    assert f"{result.border_edges} pairs of neighbours" in words
