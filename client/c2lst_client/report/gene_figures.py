"""The charts with a mark per gene: circles gained by synthetic pairs, triangles lost; some carry their name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.report.charts import FONT_PT, Picture, draw, printable
from c2lst_client.report.figures import draw_diagonal
from c2lst_client.report.genes import GeneResult, best_predicted
from c2lst_client.report.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.floating]

NAMED = 4  # genes named at each end of the changes
NAMED_BEST = 8
NAME_GAP = 0.055  # between names, as a share of the chart's height


def gene_changes(results: Sequence[GeneResult]) -> Picture:
    """Change of each gene's error against its error before; the extremes are named."""
    before = np.array([result.mae_before for result in results])
    change = np.array([100 * result.change for result in results])
    order = np.argsort(change)
    gained = [i for i in order[:NAMED] if change[i] < 0]
    lost = [i for i in order[::-1][:NAMED] if change[i] > 0]

    def plot(axes: Axes, theme: Theme) -> None:
        axes.axhline(0, color=theme["ink-soft"], linewidth=1)
        axes.axhline(float(np.median(change)), color=theme["cotrained"], linewidth=1.4, linestyle=(0, (4, 3)))
        _draw_marks(axes, theme, before, change, change < 0)
        for ends, colour in ((gained, "good"), (lost, "bad")):
            _name_in_margin(axes, theme, [results[i].gene for i in ends], before[ends], change[ends], theme[colour])
        axes.set_xlabel("error with real spots only (MAE)")
        axes.set_ylabel("change of the error with synthetic pairs, %")

    return draw(plot, height=4.2)


def gene_correlations(results: Sequence[GeneResult]) -> Picture | None:
    """Correlation per gene after against before, the best named; None when no gene has both."""
    defined = [result for result in best_predicted(results) if np.isfinite([result.r_before, result.r_after]).all()]
    if not defined:
        return None
    before = np.array([result.r_before for result in defined])
    after = np.array([result.r_after for result in defined])
    names = [result.gene for result in defined[:NAMED_BEST]]

    def plot(axes: Axes, theme: Theme) -> None:
        draw_diagonal(axes, theme, before, after)
        _draw_marks(axes, theme, before, after, after > before)
        _name_in_margin(axes, theme, names, before[:NAMED_BEST], after[:NAMED_BEST], theme["ink"])
        axes.set_xlabel("r with real spots only")
        axes.set_ylabel("r with synthetic pairs")

    return draw(plot, height=4.2)


def spread(heights: Floats, gap: float) -> list[float]:
    """Return rising `heights` between 0 and 1, moved up, or where there is no room down, until neighbours are `gap` apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(float(height), placed[-1] + gap) if placed else float(height))
    ceiling = 1.0
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    return placed


def _draw_marks(axes: Axes, theme: Theme, x: Floats, y: Floats, better: npt.NDArray[np.bool_]) -> None:
    for chosen, colour, marker in ((better, "good", "o"), (~better, "bad", "v")):
        axes.scatter(x[chosen], y[chosen], s=18, color=theme[colour], marker=marker, alpha=0.7, linewidths=0)


def _name_in_margin(axes: Axes, theme: Theme, names: Sequence[str], x: Floats, y: Floats, colour: str) -> None:
    """Write names right of the chart, each near the height of its mark and tied to it by a thin line."""
    to_axes = axes.transData + axes.transAxes.inverted()
    order = np.argsort(y)
    wanted = to_axes.transform(np.column_stack([x, y]))[order, 1] if len(order) else y
    tie = {"arrowstyle": "-", "color": theme["ink-soft"], "linewidth": 0.5, "alpha": 0.6, "shrinkB": 2}
    for i, height in zip(order, spread(wanted, NAME_GAP), strict=True):
        place = (1.02, height)
        name = axes.annotate(printable(names[i], 14), (x[i], y[i]), xytext=place, textcoords="axes fraction", arrowprops=tie)
        name.set(color=colour, va="center", fontsize=FONT_PT - 1)
