"""From a drawing function to a picture for the page: SVG in a light and a dark version, as data URIs.

Charts are drawn with matplotlib's objects on a figure of their own; pyplot and its global state are not used. Text stays text,
so that a browser sets it in the page's font; mathematics in names is off, because a gene may be called `$x`.
"""

from __future__ import annotations

import base64
import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst_client.report.theme import Theme, darken, themes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 4.6  # inches; at 96 px per inch two charts stand side by side on a desk, one fills a telephone
FONT_PT = 9.5
_PAGE_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif"

Draw = Callable[["Axes", Theme], None]


@dataclass(frozen=True)
class Picture:
    """One chart as two data URIs; `width` is in CSS pixels."""

    light: str
    dark: str
    width: int


def draw(function: Draw, height: float, width: float = WIDTH) -> Picture:
    """Draw a chart of `width` x `height` inches, once; its dark version is the same drawing in other colours."""
    drawing = _svg(function, themes()[0], width, height)
    light, dark = (data_uri("image/svg+xml", text.encode()) for text in (drawing, darken(drawing)))
    return Picture(light, dark, round(96 * width))


def printable(text: str, longest: int = 24) -> str:
    """Return `text` as a chart can show it: characters that the font lacks become `?`, a long name is cut."""
    shown = "".join(c if unicodedata.category(c)[0] != "C" and ord(c) < 0x0530 else "?" for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def data_uri(kind: str, content: bytes) -> str:
    """Return `content` as a data URI of the media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _svg(function: Draw, theme: Theme, width: float, height: float) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(style(theme)):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        function(figure.add_subplot(), theme)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, dpi=192, metadata={"Date": None})
    # The layout was made with the wider DejaVu Sans, so the page's font always fits.
    return buffer.getvalue().decode().replace("'DejaVu Sans'", _PAGE_FONT)


def style(theme: Theme) -> dict[str, object]:
    """Return matplotlib's settings for a figure in `theme`."""
    return {
        "font.family": "DejaVu Sans",
        "font.size": FONT_PT,
        "text.parse_math": False,
        "text.color": theme["ink"],
        "svg.fonttype": "none",
        "svg.hashsalt": "c2lst",  # the same input gives the same bytes
        "axes.edgecolor": theme["line"],
        "axes.labelcolor": theme["ink-soft"],
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": theme["line"],
        "grid.linewidth": 0.6,
        "xtick.color": theme["line"],
        "ytick.color": theme["line"],
        "xtick.labelcolor": theme["ink-soft"],
        "ytick.labelcolor": theme["ink-soft"],
        "legend.frameon": False,
        "axes.unicode_minus": True,
    }
