"""Figures of how predictions lie on the slide: maps of a gene, Moran's I, and borders between clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.boundaries import BoundaryResult
from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.spatial import Autocorrelation, SpatialResult
from c2lst_client.report.charts import printable
from c2lst_client.report.inputs import SlideView
from c2lst_client.report.theme import Theme
from c2lst_client.report.tissue import SPOT_OF_PITCH, Extent, scale_bar
from c2lst_client.report.words import typeset
from c2lst_client.study.figure_style import DASHED, horizontal_interval, in_words, name_rows, new_figure, vertical_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating]

MAP_IN = 3.3
LABEL = 48  # letters of an arm's label
TAILS = (2, 98)  # percentiles of the values at the ends of the colour scale


def gene_maps(
    gene: str, measured: Floats, predicted: Floats, centres: Floats, um_per_px: float, slide: SlideView | None = None
) -> Figure:
    """Draw one gene on the slide: measured and predicted on one scale, and the residual.

    Args:
        gene: its name.
        measured: S z-scores of the held-out spots.
        predicted: S.
        centres: S x 2 pixels of the slide.
        um_per_px: of the slide.
        slide: drawn pale below the spots.
    """
    from scipy.spatial import cKDTree

    pitch = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))
    low, high = centres.min(axis=0) - pitch, centres.max(axis=0) + pitch
    extent = Extent(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
    ends = np.percentile(measured, TAILS)
    residual = measured - predicted
    most = float(np.percentile(np.abs(residual), TAILS[1]))
    maps = [
        ("measured", measured, "viridis", ends[0], ends[1]),
        ("predicted", predicted, "viridis", ends[0], ends[1]),
        ("residual: measured \N{MINUS SIGN} predicted", residual, "PuOr_r", -most, most),
    ]
    height = MAP_IN * extent.height / extent.width + 1.1
    with new_figure(3 * MAP_IN, height) as (figure, theme):
        panels = figure.subplots(1, 3)
        for axes, (title, values, colours, bottom, top) in zip(panels, maps, strict=True):
            if slide is not None:
                _draw_slide(axes, slide)
            spots = _draw_spots(axes, centres, values, SPOT_OF_PITCH * pitch, colours, (float(bottom), float(top)))
            axes.set(
                xlim=(extent.left, extent.left + extent.width), ylim=(extent.top + extent.height, extent.top), aspect="equal"
            )
            axes.set_axis_off()
            axes.set_title(title, fontsize="medium")
            bar = figure.colorbar(spots, ax=axes, location="bottom", shrink=0.7, pad=0.02, aspect=25, extend="both")
            bar.set_label("z-score")
            bar.outline.set_visible(False)
        _draw_scale(panels[0], theme, extent, um_per_px)
        figure.suptitle(f"{printable(gene)} on {len(measured)} held-out spots", fontsize="medium", color=theme["ink"])
    return figure


def _draw_slide(axes: Axes, slide: SlideView) -> None:
    height, width = slide.pixels.shape[:2]
    scale = slide.slide_px_per_px
    axes.imshow(slide.pixels, extent=(0, width * scale, height * scale, 0), alpha=0.35, interpolation="antialiased")


def _draw_spots(
    axes: Axes, centres: Floats, values: Floats, size: float, colours: str, scale: tuple[float, float]
) -> EllipseCollection:
    from matplotlib.collections import EllipseCollection

    sizes = np.full(len(centres), size)
    spots = EllipseCollection(
        sizes, sizes, np.zeros(len(centres)), units="xy", offsets=centres, offset_transform=axes.transData, cmap=colours,
        linewidths=0,
    )  # fmt: skip
    spots.set_array(np.asarray(values, np.float64))
    spots.set_clim(*scale)
    axes.add_collection(spots)
    return spots


def _draw_scale(axes: Axes, theme: Theme, extent: Extent, um_per_px: float) -> None:
    words, share = scale_bar(extent, um_per_px)
    axes.plot([0.02, 0.02 + share], [-0.02, -0.02], color=theme["ink"], linewidth=2, transform=axes.transAxes, clip_on=False)
    axes.text(0.04 + share, -0.02, words, transform=axes.transAxes, va="center", fontsize="small")


def morans_pairs(result: SpatialResult) -> Figure:
    """Draw Moran's I of every gene, joined by lines: measured to predicted, and what is left in the residuals of each arm."""
    arms = [(printable(typeset(arm.label), LABEL).replace(" + ", "\n+ "), arm, _colour(arm.label)) for arm in result.arms]
    varying = [(label, arm.predicted, colour) for label, arm, colour in arms if any(arm.predicted.i)]  # the mean does not
    predicted = [("measured", result.measured, "neutral"), *varying]
    residual = [(label, arm.residual, colour) for label, arm, colour in arms]
    with new_figure(1.8 + 1.15 * (len(predicted) + len(residual)), 4.2) as (figure, theme):
        panels = figure.subplots(1, 2, sharey=True, width_ratios=[len(predicted), max(len(residual), 1)])
        for axes, columns, title in (
            (panels[0], predicted, "pattern of the expression"),
            (panels[1], residual, "pattern left in the residuals"),
        ):
            axes.axhline(result.expected, color=theme["ink-soft"], linewidth=1, linestyle=DASHED)
            _draw_genes(axes, theme, columns)
            axes.set_title(title, fontsize="medium", loc="left")
        panels[0].set_ylabel("Moran's I of each gene (dashed: no pattern)")
    return figure


def _draw_genes(axes: Axes, theme: Theme, columns: list[tuple[str, Autocorrelation, str]]) -> None:
    values = np.array([of.i for _, of, _ in columns])  # [columns, G]
    axes.plot(values, color=theme["neutral"], linewidth=0.5, alpha=min(0.5, 20 / values.shape[1]))
    for column, (_, of, colour) in enumerate(columns):
        axes.plot(np.full(len(of.i), column), of.i, "_", color=theme[colour], markersize=6, alpha=0.35)
        vertical_interval(axes, column, of.mean, theme[colour])
    count = values.shape[1]
    names = [f"{label}\n{of.significant} of {count}" for label, of, _ in columns]
    axes.set_xticks(range(len(columns)), names, fontsize="small")
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("below each: genes with a pattern, at 5 % false discoveries", fontsize="x-small", loc="left")


def _colour(label: str) -> str:
    """Return the name of an arm's colour: by what it learned from."""
    if "synthetic" in label:
        return "cotrained" if "real" in label else "synthetic"
    return "neutral" if label == "mean" else "real"


def boundary_chart(result: BoundaryResult) -> Figure:
    """Draw contrast and sharpness of each arm at the borders between clusters; 1 is as measured."""
    with new_figure(8.6, 1.5 + 0.5 * len(result.arms)) as (figure, theme):
        contrast, sharpness = figure.subplots(1, 2, sharey=True)
        for axes, title in (
            (contrast, "contrast: predicted step / measured step"),
            (sharpness, "sharpness: overall flatness divided out"),
        ):
            axes.axvline(1, color=theme["ink-soft"], linewidth=1, linestyle=DASHED)
            axes.set_title(title, fontsize="medium", loc="left")
        for row, arm in enumerate(result.arms):
            for axes, estimate in ((contrast, arm.contrast), (sharpness, arm.sharpness)):
                _draw_or_say(axes, theme, row, estimate, theme[_colour(arm.label)])
        for axes in (contrast, sharpness):
            name_rows(axes, [printable(typeset(arm.label), LABEL) for arm in result.arms])
            axes.set_xlim(left=min(0.0, axes.get_xlim()[0]), right=max(1.1, axes.get_xlim()[1]))
        contrast.set_xlabel("\N{LEFTWARDS ARROW} flatter than measured")
        sharpness.set_xlabel("\N{LEFTWARDS ARROW} blurred over the border")
        said = (
            f"; measured steps there are {in_words(result.measured_stands_out, 1)} times those inside clusters"
            if result.measured_stands_out
            else ""
        )
        figure.suptitle(
            f"{result.border_edges} pairs of neighbours across borders{said}", fontsize="small", color=theme["ink-soft"]
        )
    return figure


def _draw_or_say(axes: Axes, theme: Theme, row: int, estimate: Interval | None, colour: str) -> None:
    if estimate is None:
        axes.text(0.02, row, "sees no difference between the clusters", va="center", fontsize="small", color=theme["ink-soft"])
    else:
        horizontal_interval(axes, row, estimate, colour)
