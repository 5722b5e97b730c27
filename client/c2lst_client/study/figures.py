"""The study's own charts: sampling efficiency, ratios, controls. The other parts draw theirs in files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.arms import Recipe
from c2lst_client.evaluate.results import Interval
from c2lst_client.report.charts import Picture, draw
from c2lst_client.report.theme import Theme
from c2lst_client.report.words import tone, typeset
from c2lst_client.study.results import Control, EfficiencyPoint, RatioRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {"real": "o", "real+augmentation": "s", "real+synthetic": "D", "real+synthetic+augmentation": "^"}
COLOURS = {
    "real": "real",
    "real+augmentation": "neutral",
    "real+synthetic": "synthetic",
    "real+synthetic+augmentation": "cotrained",
}


def efficiency_chart(points: Sequence[EfficiencyPoint], arms: Sequence[Recipe]) -> Picture:
    """Error against the number of training spots, random divisions, a line for each arm."""
    shown = [arm for arm in arms if arm.kind in MARKERS]

    def plot(axes: Axes, theme: Theme) -> None:
        for place, arm in enumerate(shown):
            rows = _of_arm(points, arm.label)
            shift = 1.0 + 0.03 * (place - (len(shown) - 1) / 2)  # side by side, so that intervals do not hide each other
            _line(
                axes,
                theme[COLOURS[arm.kind]],
                MARKERS[arm.kind],
                [shift * row.train_spots for row in rows],
                [row.error for row in rows],
                typeset(arm.label),
            )
        _spots_axis(axes, sorted({row.train_spots for row in points if row.method == "random"}))
        axes.set_ylabel("mean absolute error, SD of a gene")
        axes.legend(fontsize=8)

    return draw(plot, height=3.6)


def gain_chart(points: Sequence[EfficiencyPoint], arm: str) -> Picture:
    """Change of the error against real + augmentation, against the number of training spots; blocked divisions beside it."""

    def plot(axes: Axes, theme: Theme) -> None:
        axes.axhline(0, color=theme["ink-soft"], linewidth=1)
        rows = _of_arm(points, arm)
        _line(
            axes,
            theme["cotrained"],
            "^",
            [row.train_spots for row in rows],
            [_percent(row.against_augmentation) for row in rows],
            "random divisions",
        )
        blocked = [row for row in points if row.method == "blocked" and row.arm == arm]
        _line(
            axes,
            theme["neutral"],
            "s",
            [1.06 * row.train_spots for row in blocked],
            [_percent(row.against_augmentation) for row in blocked],
            "divided by a line",
        )
        _spots_axis(axes, sorted({row.train_spots for row in rows}))
        axes.set_ylabel("change of the error, % (below 0 is better)")
        axes.legend(fontsize=8)

    return draw(plot, height=3.6)


def ratio_chart(rows: Sequence[RatioRow]) -> Picture:
    """Change of the error against real only, by ratio, with and without the real spots."""

    def plot(axes: Axes, theme: Theme) -> None:
        axes.axhline(0, color=theme["ink-soft"], linewidth=1)
        for kind, colour, marker, shift in (
            ("synthetic", "synthetic", "o", 0.97),
            ("real + synthetic", "cotrained", "^", 1.03),
        ):
            chosen = [row for row in rows if row.ratio is not None and row.arm.rpartition(" x")[0] == kind]
            name = "synthetic only" if kind == "synthetic" else kind
            _line(
                axes,
                theme[colour],
                marker,
                [shift * (row.ratio or 0) for row in chosen],
                [_percent(row.against_real) for row in chosen],
                name,
            )
        ticks = sorted({row.ratio for row in rows if row.ratio is not None})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [typeset(f"x{tick}") for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("synthetic pairs per real spot")
        axes.set_ylabel("change of the error against real, %")
        axes.legend(fontsize=8)

    return draw(plot, height=3.4, width=7.0)


def control_chart(controls: Sequence[Control]) -> Picture:
    """The questions that controls answer, one line each; hollow: divided by a line."""
    questions = list(dict.fromkeys(each.question for each in controls))

    def plot(axes: Axes, theme: Theme) -> None:
        axes.axvline(0, color=theme["ink-soft"], linewidth=1)
        for row, question in enumerate(questions):
            for each in (each for each in controls if each.question == question):
                blocked = each.method == "blocked"
                height, change = row + (0.18 if blocked else -0.18), _percent(each.change)
                colour = theme[tone(each.change)]
                axes.plot([change.low, change.high], [height, height], color=colour, linewidth=2)
                axes.plot(
                    change.value, height, "o", color=colour, markerfacecolor=theme["card"] if blocked else colour, markersize=6
                )
        axes.set_yticks(range(len(questions)), [_wrapped(question) for question in questions])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(questions) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("change of the error, % (left: the arm with the better data wins)")

    return draw(plot, height=0.9 + 0.52 * len(questions), width=9.4)


def _line(axes: Axes, colour: str, marker: str, places: Sequence[float], values: Sequence[Interval], label: str) -> None:
    middle = np.array([each.value for each in values])
    reach = np.abs(np.array([[each.low for each in values], [each.high for each in values]]) - middle)
    axes.errorbar(places, middle, yerr=reach, marker=marker, color=colour, linewidth=1.4, markersize=5, capsize=2, label=label)


def _spots_axis(axes: Axes, spots: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(spots), [str(each) for each in spots])
    axes.minorticks_off()
    axes.set_xlabel("training spots")


def _of_arm(points: Sequence[EfficiencyPoint], arm: str) -> list[EfficiencyPoint]:
    return sorted((row for row in points if row.method == "random" and row.arm == arm), key=lambda row: row.train_spots)


def _percent(change: Interval) -> Interval:
    return Interval(value=100 * change.value, low=100 * change.low, high=100 * change.high)


def _wrapped(question: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(question, 44))
