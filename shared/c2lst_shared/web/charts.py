"""Charts as inline SVG without a script or a style of their own: colours come from the page's style sheet, light or dark.

A chart is for the eye; the numbers stand beside it in a table or in its label, for readers who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst_shared.web import words

if TYPE_CHECKING:
    from markupsafe import Markup

TICKS = 4
LOG_FROM = 8.0  # times that the largest value exceeds the smallest, from which the axis is logarithmic


@dataclass(frozen=True)
class Frame:
    """Size of a chart in its own units, and the room that its axis labels take."""

    width: int
    height: int
    left: int = 52
    right: int = 12
    top: int = 10
    bottom: int = 34

    def x(self, share: float) -> float:
        """Return the place of a share of the width of the plot."""
        return self.left + share * (self.width - self.left - self.right)

    def y(self, share: float) -> float:
        """Return the place of a share of its height, from below."""
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


WIDE, NARROW = Frame(760, 260), Frame(380, 240)  # on a desk, on a telephone


def line_chart(points: Sequence[tuple[float, float]], *, x_label: str, label: str) -> Markup:
    """Return a line through `points`, in a version for wide and one for narrow screens.

    Args:
        points: at least one, in rising order of their first values.
        x_label: below the axis.
        label: says in words what the line shows.
    """
    from markupsafe import Markup

    return Markup("").join(_line(points, x_label, label, *kind) for kind in ((WIDE, "wide"), (NARROW, "narrow")))


def _line(points: Sequence[tuple[float, float]], x_label: str, label: str, frame: Frame, kind: str) -> Markup:
    from markupsafe import Markup

    last = max(x for x, _ in points) or 1.0
    values = [value for _, value in points]
    scale = Scale.fitting(min(values), max(values))
    path = " ".join(
        f"{'L' if index else 'M'}{frame.x(x / last):.1f} {frame.y(scale.share(value)):.1f}"
        for index, (x, value) in enumerate(points)
    )
    parts = [Markup('<svg class="chart {}" viewBox="0 0 {} {}" role="img">').format(kind, frame.width, frame.height)]
    parts.append(Markup("<title>{}</title>").format(label))
    for tick in scale.ticks():
        y = f"{frame.y(scale.share(tick)):.1f}"
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(frame.left, y, frame.width - frame.right))
        parts.append(
            Markup('<text x="{}" y="{}" dy="0.35em" text-anchor="end">{}</text>').format(
                frame.left - 8, y, words.number(tick, 2)
            )
        )
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        text = words.grouped(round(last * share))
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                f"{frame.x(share):.1f}", frame.height - frame.bottom + 18, anchor, text if share < 1 else f"{text} {x_label}"
            )
        )
    parts.append(Markup('<path class="line" d="{}"/>').format(path))
    x, value = points[-1]
    parts.append(
        Markup('<circle class="end" cx="{}" cy="{}" r="4"/></svg>').format(
            f"{frame.x(x / last):.1f}", f"{frame.y(scale.share(value)):.1f}"
        )
    )
    return Markup("").join(parts)


@dataclass(frozen=True)
class Scale:
    """From values to shares of an axis."""

    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def fitting(cls, low: float, high: float) -> Scale:
        """Return the scale for values between `low` and `high`: from zero, or logarithmic where they span far."""
        if low > 0 and high / low >= LOG_FROM:
            return cls(low / 1.1, high * 1.1, logarithmic=True)
        return cls(min(low, 0.0), high * 1.05 if high > 0 else 1.0)

    def share(self, value: float) -> float:
        """Return where `value` is, 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return some round values on the axis."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high]
        step = _round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(about: float) -> float:
    power = 10.0 ** math.floor(math.log10(about))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= about)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, as `interval_bar` draws it."""

    value: float
    low: float
    high: float


def common_range(estimates: Sequence[Estimate], *, zero: bool) -> tuple[float, float]:
    """Return the ends of the axis that bars of one table share; `zero` is on it where it means "no change"."""
    ends = [end for each in estimates for end in (each.low, each.high, each.value)] + ([0.0] if zero else [])
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def interval_bar(estimate: Estimate, ends: tuple[float, float], *, tone: str = "", zero: bool = False) -> Markup:
    """Return a dot on its interval, to stand in a cell beside the numbers; it stretches with the cell.

    Args:
        estimate: what is drawn.
        ends: of the axis, the same for all bars of a table.
        tone: good, bad or nothing.
        zero: mark where zero is.
    """
    from markupsafe import Markup

    low, high = ends

    def place(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}"

    nought = Markup('<path class="zero" d="M{} 0V20"/>').format(place(0.0)) if zero else Markup("")
    return Markup(
        '<svg class="interval {}" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">{}'
        '<path class="span" d="M{} 10H{}"/><path class="dot" d="M{} 10h0"/></svg>'
    ).format(tone, nought, place(estimate.low), place(estimate.high), place(estimate.value))
