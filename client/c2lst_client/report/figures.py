"""The charts of conditioning, co-training and training; colours mean the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Arm, Comparison, ConditioningResult, Interval
from c2lst_client.report.charts import Picture, draw
from c2lst_client.report.theme import Theme
from c2lst_client.report.words import tone, typeset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.floating]

MOST_VECTOR_POINTS = 1500  # more points than this are drawn as one image inside the SVG
CURVE_POINTS = 40
GAP = 4 * "\N{NO-BREAK SPACE}"  # a browser would fold plain spaces in SVG text


def conditioning_scatter(result: ConditioningResult) -> Picture:
    """Nuclear fraction of the generated patches against that of the real ones, a dot per held-out spot."""
    real, synthetic = 100 * np.asarray(result.real), 100 * np.asarray(result.synthetic)
    many = len(real) > MOST_VECTOR_POINTS

    def plot(axes: Axes, theme: Theme) -> None:
        draw_diagonal(axes, theme, real, synthetic)
        axes.scatter(real, synthetic, s=20, color=theme["synthetic"], alpha=0.65, linewidths=0, rasterized=many)
        if np.ptp(real) > 0:
            slope, offset = np.polyfit(real, synthetic, 1)
            ends = np.array([real.min(), real.max()])
            axes.plot(ends, slope * ends + offset, color=theme["ink"], linewidth=1.4)
        axes.set_xlabel("nuclei in the real patch, % of its area")
        axes.set_ylabel("nuclei in the synthetic patch, %")

    return draw(plot, height=4.2)


def conditioning_rulers(result: ConditioningResult) -> Picture:
    """The correlation with its interval, above its control and its yardstick."""
    rows = [
        ("synthetic tissue, true expression", result.r, "synthetic"),
        ("control: expression shuffled", result.shuffled_r, "neutral"),
        ("yardstick: regression on the genes", result.ridge_r, "neutral"),
    ]

    def plot(axes: Axes, theme: Theme) -> None:
        for row, (label, estimate, colour) in enumerate(rows):
            _draw_interval(axes, theme, row, label, estimate, theme[colour], filled=row == 0)
        _finish_rows(axes, len(rows))
        axes.set_xlabel("correlation r with the real patches, 95 % interval")

    return draw(plot, height=2.1)


def arm_errors(arms: Sequence[Arm]) -> Picture:
    """Mean absolute error of every arm with its interval, the best on top, a stroke per seed."""
    rows = sorted(arms, key=lambda arm: arm.mae.value)

    def plot(axes: Axes, theme: Theme) -> None:
        for row, arm in enumerate(rows):
            colour = theme[_arm_colour(arm)]
            axes.plot(arm.mae_per_seed, [row] * len(arm.mae_per_seed), "|", color=colour, markersize=11, alpha=0.7)
            _draw_interval(axes, theme, row, typeset(arm.label), arm.mae, colour, filled=arm.kind != "mean")
        _finish_rows(axes, len(rows))
        axes.set_xlabel("mean absolute error, in standard deviations (left is better)")

    return draw(plot, height=0.7 + 0.42 * len(rows))


def forest(comparisons: Sequence[Comparison], primary: Comparison) -> Picture:
    """Change of the error for every comparison, in per cent; the one that decides first and filled."""
    rows = [primary, *(other for other in comparisons if (other.arm, other.against) != (primary.arm, primary.against))]

    def plot(axes: Axes, theme: Theme) -> None:
        axes.axvline(0, color=theme["ink-soft"], linewidth=1)
        for row, comparison in enumerate(rows):
            label = typeset(f"{comparison.arm} against {comparison.against}")
            change = comparison.change
            scaled = Interval(value=100 * change.value, low=100 * change.low, high=100 * change.high)
            _draw_interval(axes, theme, row, label, scaled, theme[tone(change)], filled=row == 0)
        _finish_rows(axes, len(rows))
        axes.set_xlabel(f"← better{GAP}change of the error, %{GAP}worse →")

    return draw(plot, height=0.7 + 0.42 * len(rows))


def training_curve(losses: Sequence[float]) -> Picture:
    """Median loss of each stretch of training, in a band that holds four fifths of its steps."""
    stretches = np.array_split(np.asarray(losses, dtype=float), min(len(losses), CURVE_POINTS))
    ends = np.cumsum([len(stretch) for stretch in stretches])
    low, middle, high = np.array([np.quantile(stretch, (0.1, 0.5, 0.9)) for stretch in stretches]).T

    def plot(axes: Axes, theme: Theme) -> None:
        axes.fill_between(ends, low, high, color=theme["synthetic"], alpha=0.25, linewidth=0)
        axes.plot(ends, middle, color=theme["synthetic"], linewidth=1.8)
        axes.set_xlabel("training step of the adapter")
        axes.set_ylabel("loss")
        axes.set_ylim(bottom=0)

    return draw(plot, height=2.8)


def draw_diagonal(axes: Axes, theme: Theme, x: Floats, y: Floats) -> None:
    """Draw the line on which `x` equals `y`, as long as the data."""
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    axes.plot([low, high], [low, high], color=theme["ink-soft"], linewidth=1, linestyle=(0, (4, 3)))


def _arm_colour(arm: Arm) -> str:
    """Return the name of an arm's colour: by what it learned from."""
    return {"mean": "neutral", "real": "real", "real+augmentation": "real", "synthetic": "synthetic"}.get(arm.kind, "cotrained")


def _draw_interval(axes: Axes, theme: Theme, row: int, label: str, estimate: Interval, colour: str, *, filled: bool) -> None:
    """Draw one row: the label, and below it the interval with its estimate."""
    axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    face = colour if filled else theme["card"]
    axes.plot(estimate.value, row, "o", color=colour, markersize=7, markerfacecolor=face, markeredgewidth=1.6)
    box = {"facecolor": theme["card"], "linewidth": 0, "pad": 1}  # grid lines stop at the words
    place = axes.get_yaxis_transform()
    text = axes.annotate(label, (0, row), xycoords=place, xytext=(2, 8), textcoords="offset points", va="bottom", bbox=box)
    text.set_color(theme["ink"])
    text.set_in_layout(False)  # a long label may run on over the margin


def _finish_rows(axes: Axes, count: int) -> None:
    axes.set_ylim(count - 0.6, -0.9)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    axes.margins(x=0.06)
