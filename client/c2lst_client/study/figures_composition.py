"""Figures of composition: outlines of nuclei on real and generated patches, and each measure spot by spot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.evaluate.composition import Composition
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.nuclei_outlines import outline_nuclei
from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.spot_values import ValueComparison
from c2lst_client.report.charts import printable
from c2lst_client.report.figures import draw_diagonal
from c2lst_client.report.theme import Theme
from c2lst_client.study.figure_style import horizontal_interval, light_style, name_rows
from c2lst_client.study.figures_quality import example_rows, show_patch
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 6
OUTLINE = "#ffe600"  # seen on blue, pink and white tissue alike; no colour of tissue or of the page


def nuclei_overlays(
    real: Pixels, generated: Pixels, *, threshold: float, um_per_px: float, count: int = EXAMPLES, seed: int = 0
) -> Figure:
    """Draw the nuclei that were found, on real patches above those generated for the same spots, which are chosen by lot.

    Args:
        real: N x P x P x 3.
        generated: N x P x P x 3, row i for the spot of row i of `real`.
        threshold: of haematoxylin, as in `Composition`.
        um_per_px: of the patches.
        count: pairs.
        seed: of `example_rows`.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = example_rows(len(real), count, seed)
    with light_style() as theme:
        close = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
        figure = Figure(figsize=(2 * len(rows) + 0.3, 4.8), layout=close)
        panels = figure.subplots(2, len(rows), squeeze=False)
        for line, patches, name, colour in ((0, real, "real", "real"), (1, generated, "generated", "synthetic")):
            for axes, row in zip(panels[line], rows, strict=True):
                show_patch(axes, patches[row], theme[colour])
                axes.set_title(_outlined(axes, patches[row], threshold, um_per_px), fontsize="small", color=theme["ink-soft"])
            panels[line, 0].set_ylabel(name, color=theme[colour])
        side = real.shape[1] * um_per_px
        words = f"nuclei found by colour and shape, those cut by an edge included; a patch is {side:.0f} µm wide"
        figure.supxlabel(words, color=theme["ink-soft"], fontsize="medium")
    return figure


def composition_panels(composition: Composition) -> Figure:
    """Each measure spot by spot, above the distance of its distributions between real against real and unadapted.

    Raises:
        BadInput: nothing was measured.
    """
    return value_panels(composition.measures, composition.limits)


def value_panels(measures: Sequence[ValueComparison], limits: Sequence[str] = ()) -> Figure:
    """The same for any numbers per spot, such as the densities of `CellTypes`; `limits` are written below.

    Raises:
        BadInput: there is no number.
    """
    if not measures:
        raise BadInput("No measure could be compared, so there is nothing to draw; see `limits` in the result.")
    from matplotlib.figure import Figure

    unadapted = any(measure.wasserstein.unadapted is not None for measure in measures)
    with light_style() as theme:
        figure = Figure(figsize=(3.1 * len(measures), 5.4 + 0.25 * len(limits)), layout="constrained")
        panels = figure.subplots(2, len(measures), squeeze=False, height_ratios=(3, 1.6))
        for (upper, lower), measure in zip(panels.T, measures, strict=True):
            _spot_by_spot(upper, theme, measure)
            _distances(lower, theme, measure, named=lower is panels[1, 0], unadapted=unadapted)
        panels[0, 0].set_ylabel("generated patches")
        if limits:
            figure.supxlabel("\n".join(limits), color=theme["ink-soft"], fontsize="medium", x=0.01, ha="left")
    return figure


def _outlined(axes: Axes, patch: Pixels, threshold: float, um_per_px: float) -> str:
    """Draw outlines and return how many there are, in words."""
    labels = outline_nuclei(patch, threshold, um_per_px)
    numbers = np.unique(labels[labels > 0])
    for number in numbers:  # one by one, so that neighbours have an outline each
        axes.contour(labels == number, levels=[0.5], colors=[OUTLINE], linewidths=1.0)
    return f"{len(numbers)} nuclei" if len(numbers) != 1 else "1 nucleus"


def _spot_by_spot(axes: Axes, theme: Theme, measure: ValueComparison) -> None:
    real, generated = np.asarray(measure.real), np.asarray(measure.generated)
    draw_diagonal(axes, theme, real, generated)
    axes.scatter(real, generated, s=14, color=theme["synthetic"], alpha=0.65, linewidths=0, rasterized=len(real) > 1500)
    unit = f", {measure.unit}" if measure.unit else ""
    neighbours = measure.concordance_real_neighbours
    lines = [
        _title(measure.name),
        f"concordance {_words(measure.concordance)}",
        f"shuffled {_words(measure.concordance_shuffled)}",
        f"real neighbours {_words(neighbours)}" if neighbours else "real neighbours: no positions",
        f"r {_words(measure.r)}, {measure.spots} spots",
    ]
    axes.set_title("\n".join(lines), loc="left", fontsize="small", color=theme["ink"])
    axes.set_xlabel(f"real patches{unit}")
    axes.locator_params(nbins=5)


def _distances(axes: Axes, theme: Theme, measure: ValueComparison, *, named: bool, unadapted: bool) -> None:
    equal = measure.wasserstein.at_equal_size
    rows = [
        ("real against real", equal.real_against_real, "real", True),
        ("generated", equal.generated, "synthetic", True),
        ("unadapted", equal.unadapted, "neutral", True),
        ("generated, all", measure.wasserstein.generated, "synthetic", False),
    ]
    rows = [row for row in rows if unadapted or row[0] != "unadapted"]
    for row, (_, found, colour, filled) in enumerate(rows):
        if found is not None:
            horizontal_interval(axes, row, found, theme[colour], face="" if filled else theme["card"])
    name_rows(axes, [name if named else "" for name, *_ in rows])
    axes.set_xlim(left=0)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(f"Wasserstein distance{f', {measure.unit}' if measure.unit else ''}")


def _title(name: str) -> str:
    """Return a name on one line that fits its panel."""
    return printable(name.replace(", share of the area", "").replace(" share of the area", " share"), 34)


def _words(found: Interval) -> str:
    value, low, high = (round(number, 2) + 0.0 for number in (found.value, found.low, found.high))  # no -0.00
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
