"""What every figure of a study starts from: the light theme of c2lst's pages, on white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from c2lst_client.evaluate.results import Interval
from c2lst_client.report.charts import style
from c2lst_client.report.theme import Theme, themes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def light_style() -> Iterator[Theme]:
    """Give the colours of the light theme, and matplotlib its settings for as long as the figure is drawn."""
    import matplotlib as mpl

    theme = themes()[0]
    with mpl.rc_context(style(theme) | {"figure.facecolor": theme["card"]}):
        yield theme


def draw_row(axes: Axes, row: float, found: Interval, colour: str, *, filled: bool = True, marker: str = "o") -> None:
    """Draw one number as a mark on the line of its interval."""
    axes.plot([found.low, found.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
    face = colour if filled else axes.figure.get_facecolor()
    axes.plot(found.value, row, marker, color=colour, markersize=7, markerfacecolor=face, markeredgewidth=1.6, zorder=3)


def name_rows(axes: Axes, names: list[str]) -> None:
    """Write the names of rows 0, 1, ... from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
