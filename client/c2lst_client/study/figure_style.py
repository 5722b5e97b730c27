"""A figure in the project's colours and type, and the marks that all figures of a study share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from c2lst_client.evaluate.results import Interval
from c2lst_client.report.charts import style
from c2lst_client.report.theme import Theme, themes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHED = (0, (4, 3))


@contextmanager
def light_style() -> Iterator[Theme]:
    """Give the colours of the light theme, and matplotlib its settings for as long as a figure is drawn."""
    import matplotlib as mpl

    theme = themes()[0]
    with mpl.rc_context(style(theme) | {"figure.facecolor": theme["card"]}):
        yield theme


@contextmanager
def new_figure(width: float, height: float) -> Iterator[tuple[Figure, Theme]]:
    """Give an empty figure of `width` x `height` inches and the light theme; what is drawn inside has the project's style."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with light_style() as theme:
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, theme


def horizontal_interval(axes: Axes, row: float, estimate: Interval, colour: str, *, marker: str = "o", face: str = "") -> None:
    """Draw an estimate with its 95 % interval along x."""
    axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot(estimate.value, row, marker, color=colour, markersize=7, markerfacecolor=face or colour, markeredgewidth=1.5)


def vertical_interval(axes: Axes, column: float, estimate: Interval, colour: str, *, marker: str = "o", face: str = "") -> None:
    """Draw an estimate with its 95 % interval along y."""
    axes.plot([column, column], [estimate.low, estimate.high], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot(
        column,
        estimate.value,
        marker,
        color=colour,
        markersize=7,
        markerfacecolor=face or colour,
        markeredgewidth=1.5,
        zorder=4,
    )


def name_rows(axes: Axes, names: list[str]) -> None:
    """Label the rows 0, 1, ... from the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def in_words(estimate: Interval, digits: int = 2) -> str:
    """Return `0.71 (0.62 to 0.79)`."""
    value, low, high = (
        f"{number:.{digits}f}".replace("-", "\N{MINUS SIGN}") for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"
