"""Figures of image quality: how good between floor and ceiling, where patches lie among each other, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.image_quality import ImageQuality
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.pair_similarity import PairSimilarity
from c2lst_client.evaluate.references import SetDistance
from c2lst_client.evaluate.results import Interval
from c2lst_client.report.charts import printable
from c2lst_client.report.theme import Theme
from c2lst_client.study.figure_style import horizontal_interval, light_style, name_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXAMPLES = 12
FAR = 20.0  # times the middle number: further out an axis becomes logarithmic
_MARKS = ("o", "^", "x", "s")  # told apart without their colours

Row = tuple[str, Interval | None, str, bool]  # name, number, name of the colour, filled


def quality_dots(quality: ImageQuality) -> Figure:
    """One panel for each measure: generated patches between real against real and the unadapted backbone."""
    from matplotlib.figure import Figure

    with light_style() as theme:
        figure = Figure(figsize=(12, 5.2), layout="constrained")
        panels = figure.subplots(2, 3).ravel()
        if quality.cosine is None:
            _write(panels[0], theme, ["No cosine similarity:", "these patches belong to no spots."])
        else:
            _panel(panels[0], theme, "cosine similarity of pairs", "right is better", _cosine_rows(quality.cosine))
        for axes, title, better, distance in (
            (panels[1], "kernel distance (KID)", "left is better, 0 = alike", quality.kernel),
            (panels[2], "Frechet distance (FID)", "left is better", quality.frechet),
            (panels[3], "density", "1 = as real; more = crowded", quality.density),
            (panels[4], "coverage", "right is better", quality.coverage),
        ):
            _panel(axes, theme, title, better, _distance_rows(distance))
        _write(panels[5], theme, _explanation(quality))
    return figure


def shared_space_scatter(coordinates: Mapping[str, npt.NDArray[np.floating]], method: str = "t-SNE") -> Figure:
    """Draw patches on one map, a mark and a colour for each set.

    Args:
        coordinates: N x 2 for each set, in the order real, generated, unadapted, from one call of `shared_space`.
        method: by which they were made, in words.
    """
    from matplotlib.figure import Figure

    with light_style() as theme:
        figure = Figure(figsize=(6, 5.4), layout="constrained")
        axes = figure.add_subplot()
        colours = [theme[name] for name in ("real", "synthetic", "neutral", "cotrained")]
        for (name, points), colour, mark in zip(coordinates.items(), colours, _MARKS, strict=False):
            size, width = (26, 1.0) if mark == "x" else (20, 0.0)
            label = f"{printable(name)} ({len(points)})"
            many = len(points) > 1500
            axes.scatter(
                points[:, 0],
                points[:, 1],
                s=size,
                c=colour,
                marker=mark,
                linewidths=width,
                alpha=0.7,
                label=label,
                rasterized=many,
            )
        axes.set_xlabel(f"{method} 1, no unit")
        axes.set_ylabel(f"{method} 2, no unit")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
        figure.legend(loc="outside upper center", ncols=len(coordinates), markerscale=1.4)
    return figure


def example_rows(spots: int, count: int = EXAMPLES, seed: int = 0) -> npt.NDArray[np.intp]:
    """Choose spots by lot, so that no one can choose the prettiest; rising rows, fewer when there are fewer."""
    chosen = np.random.default_rng(seed).choice(spots, min(count, spots), replace=False)
    return np.sort(chosen).astype(np.intp)


def example_pairs(
    real: Pixels, generated: Pixels, *, patch_um: float | None = None, count: int = EXAMPLES, seed: int = 0
) -> Figure:
    """Draw real patches above the patches generated for the same spots; which spots, `seed` decides.

    Args:
        real: N x P x P x 3.
        generated: N x P x P x 3, row i for the spot of row i of `real`.
        patch_um: side of a patch in um, for the words below.
        count: pairs.
        seed: of `example_rows`.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = example_rows(len(real), count, seed)
    with light_style() as theme:
        close = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
        figure = Figure(figsize=(12, 2.55), layout=close)
        panels = figure.subplots(2, len(rows), squeeze=False)
        for (upper, lower), row in zip(panels.T, rows, strict=True):
            for axes, patch, colour in ((upper, real[row], theme["real"]), (lower, generated[row], theme["synthetic"])):
                show_patch(axes, patch, colour)
        for axes, name, colour in zip(panels[:, 0], ("real", "generated"), ("real", "synthetic"), strict=True):
            axes.set_ylabel(name, color=theme[colour])
        scale = "" if patch_um is None else f"; a patch is {patch_um:.0f} µm wide"
        figure.supxlabel(f"{len(rows)} of {len(real)} spots, chosen by lot{scale}", color=theme["ink-soft"], fontsize="medium")
    return figure


def show_patch(axes: Axes, patch: Pixels, colour: str) -> None:
    """Show P x P x 3 pixels in a frame."""
    axes.imshow(patch, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=1.2)


def _cosine_rows(cosine: PairSimilarity) -> list[Row]:
    return [
        ("neighbouring real spots", cosine.real_neighbours, "real", True),
        ("any two real spots", cosine.real_against_real, "real", False),
        ("generated", cosine.generated, "synthetic", True),
        ("generated, shuffled", cosine.shuffled, "neutral", False),
        ("unadapted", cosine.unadapted, "neutral", True),
    ]


def _distance_rows(distance: SetDistance) -> list[Row]:
    equal = distance.at_equal_size
    return [
        ("real against real", equal.real_against_real, "real", True),
        ("generated", equal.generated, "synthetic", True),
        ("unadapted", equal.unadapted, "neutral", True),
        ("generated, all spots", distance.generated, "synthetic", False),
        ("unadapted, all", distance.unadapted, "neutral", False),
    ]


def _panel(axes: Axes, theme: Theme, title: str, better: str, rows: list[Row]) -> None:
    given = [(name, found, theme[colour], filled) for name, found, colour, filled in rows if found is not None]
    for row, (_, found, colour, filled) in enumerate(given):
        horizontal_interval(axes, row, found, colour, face="" if filled else theme["card"])
    name_rows(axes, [name for name, *_ in given])
    axes.margins(x=0.06)
    axes.set_xlabel(better)
    if not _stretched(axes, [found for _, found, *_ in given]):
        axes.locator_params(axis="x", nbins=5)
    axes.set_title(title, loc="left", fontsize="medium", color=theme["ink"])


def _stretched(axes: Axes, found: list[Interval]) -> bool:
    """Make the axis logarithmic away from 0, where one number is so far out that the others would be one dot."""
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    reach = sorted(max(abs(one.low), abs(one.high)) for one in found)
    near = reach[len(reach) // 2]
    if near <= 0 or reach[-1] < FAR * near:
        return False
    axes.set_xscale("symlog", linthresh=near)
    powers = 10.0 ** np.arange(np.ceil(np.log10(near)), np.log10(reach[-1]) + 1)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *powers]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_xlabel(f"{axes.get_xlabel()} (log beyond {float(f'{near:.1g}'):g})")
    return True


def _explanation(quality: ImageQuality) -> list[str]:
    equal = quality.kernel.at_equal_size
    name = "not recorded" if quality.encoder is None else printable(quality.encoder.name, 34)
    return [
        f"encoder: {name}",
        f"{quality.spots} spots; k = {quality.neighbours} for density, coverage",
        "",
        f"Filled dots of distances: {equal.size} patches against",
        f"{equal.size} real ones, 95 % range of {equal.halvings} halvings.",
        "Hollow dots: all patches, 95 % interval by",
        f"bootstrap over {quality.units}.",
        "Only KID is free of the sets' size: compare",
        "filled dots with filled dots.",
        "Cosine: 95 % bootstrap; shuffled: range.",
    ]


def _write(axes: Axes, theme: Theme, lines: list[str]) -> None:
    axes.axis("off")
    axes.text(
        -0.4, 1, "\n".join(lines), va="top", color=theme["ink-soft"], fontsize=8.5, linespacing=1.5, transform=axes.transAxes
    )
