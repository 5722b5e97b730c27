"""Figures of how tissue follows genes: sweeps, clusters, genes one by one, and genes that are missing.

Real tissue is blue and filled, generated tissue orange and hollow, in all of them. Bars and lines are 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.cluster_morphology import ClusterRecognition, ClusterResult
from c2lst_client.evaluate.gene_correspondence import GeneCorrespondence
from c2lst_client.evaluate.gene_dropout import DropoutResult
from c2lst_client.evaluate.gene_sweeps import SweepResult
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.patch_morphology import NUMBERS
from c2lst_client.report.charts import printable
from c2lst_client.report.gene_figures import spread
from c2lst_client.report.theme import Theme
from c2lst_client.report.words import typeset
from c2lst_client.study.figure_style import DASHED, horizontal_interval, in_words, name_rows, new_figure, vertical_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating]

IMAGE_IN = 0.95  # side of a patch of a strip, inches
CURVE_IN = 2.3
NAMED = 4  # genes named at each end of a scatter
NAMES = 1.3  # width of the scatter with the columns of names, over its height
UNITS = {
    "nuclear fraction": "share of the patch",
    "haematoxylin": "mean concentration",
    "eosin": "mean concentration",
    "texture": "local SD, grey levels",
}


def sweep_strips(results: Sequence[SweepResult], patches: Sequence[Pixels]) -> Figure:
    """Draw one row per strip: its patches from low to high expression, z below each, and the nuclear fraction beside them.

    Args:
        results: R strips of equally many steps T.
        patches: R times T x P x P x 3, of one noise.
    """
    steps = len(results[0].z)
    width, height = 1.2 + steps * IMAGE_IN + CURVE_IN, 0.5 + len(results) * (IMAGE_IN + 0.32)
    with new_figure(width, height) as (figure, theme):
        grid = figure.add_gridspec(len(results), steps + 1, width_ratios=[*[IMAGE_IN] * steps, CURVE_IN])
        for row, (result, strip) in enumerate(zip(results, patches, strict=True)):
            for column, (patch, z) in enumerate(zip(strip, result.z, strict=True)):
                axes = figure.add_subplot(grid[row, column])
                axes.imshow(patch)
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                axes.set_xlabel("z = " + typeset(f"{z:.1f}"), labelpad=2)
                if column == 0:
                    axes.set_ylabel(f"{printable(result.gene, 12)}\n{result.strip}", rotation=0, ha="right", va="center")
                    axes.yaxis.label.set_color(theme["ink"])
            _sweep_curve(figure.add_subplot(grid[row, steps]), theme, result, last=row == len(results) - 1)
    return figure


def _sweep_curve(axes: Axes, theme: Theme, result: SweepResult, *, last: bool) -> None:
    z, value, low, high = np.array(
        [(z, 100 * one.value, 100 * one.low, 100 * one.high) for z, one in zip(result.z, result.nuclear, strict=True)]
    ).T
    axes.fill_between(z, low, high, color=theme["synthetic"], alpha=0.2, linewidth=0)
    axes.plot(z, value, "o-", color=theme["synthetic"], markersize=4, linewidth=1.5)
    middle = value.mean()
    axes.plot(z, middle + 100 * result.predicted.value * (z - z.mean()), color=theme["real"], linewidth=1.2, linestyle=DASHED)
    axes.set_ylabel("nuclei, %")
    axes.yaxis.set_label_position("right")
    axes.yaxis.tick_right()
    if last:
        axes.set_xlabel("z of the gene; dashed: slope\npredicted from real spots")


def sweep_slopes(results: Sequence[SweepResult]) -> Figure:
    """Draw the slope of every strip above the one that real spots predict."""
    with new_figure(5.4, 0.9 + 0.5 * len(results)) as (figure, theme):
        axes = figure.add_subplot()
        axes.axvline(0, color=theme["ink-soft"], linewidth=1)
        for row, result in enumerate(results):
            for shift, one, colour, face in (
                (-0.14, result.slope, theme["synthetic"], theme["card"]),
                (0.14, result.predicted, theme["real"], ""),
            ):
                scaled = one.model_copy(update={name: 100 * getattr(one, name) for name in ("value", "low", "high")})
                horizontal_interval(axes, row + shift, scaled, colour, face=face)
        name_rows(axes, [f"{printable(result.gene, 14)}, {result.strip}" for result in results])
        axes.set_xlabel("change of nuclei per SD of the gene, percentage points")
        _legend(axes, theme, "generated tissue", "regression on real spots")
    return figure


def cluster_dots(result: ClusterResult) -> Figure:
    """Draw the mean of each morphological number per cluster, real and generated."""
    with new_figure(10.4, 1.5 + 0.42 * len(result.clusters)) as (figure, theme):
        panels = figure.subplots(1, len(NUMBERS), sharey=True)
        for axes, number in zip(panels, NUMBERS, strict=True):
            for row, cluster in enumerate(result.clusters):
                horizontal_interval(axes, row - 0.13, cluster.real[number], theme["real"])
                horizontal_interval(axes, row + 0.13, cluster.generated[number], theme["synthetic"], face=theme["card"])
            name_rows(axes, [f"{printable(cluster.cluster, 12)} ({cluster.spots} spots)" for cluster in result.clusters])
            agreed = result.agreement.get(number)
            said = f"\nconcordance {in_words(agreed)}" if agreed else "\ntoo few clusters for a concordance"
            axes.set_title(number + said, fontsize="small", loc="left")
            axes.set_xlabel(UNITS[number])
            axes.locator_params(axis="x", nbins=5)
        _legend(panels[0], theme, "generated", "real")
    return figure


def cluster_recognition(result: ClusterRecognition, clusters: Sequence[str]) -> Figure:
    """Draw how often the right cluster is named, beside what the generated patches of each cluster are named as."""
    rows = [
        ("real patches", result.real, "real", ""),
        ("generated", result.generated, "synthetic", "card"),
        ("shuffled", result.shuffled, "neutral", "card"),
    ]
    count = len(clusters)
    with new_figure(8.2, 1.6 + 0.34 * count) as (figure, theme):
        axes, table = figure.subplots(1, 2, width_ratios=[1.25, 1])
        axes.axvline(result.chance, color=theme["ink-soft"], linewidth=1, linestyle=DASHED)
        for row, (_, estimate, colour, face) in enumerate(rows):
            horizontal_interval(axes, row, estimate, theme[colour], face=theme[face] if face else "")
        name_rows(axes, [label for label, *_ in rows])
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("balanced accuracy of naming the cluster\n(dashed: chance)")
        share = np.array(result.confusion)
        table.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(share.shape):
            dark = share[row, column] > 0.55
            table.text(
                column,
                row,
                f"{100 * share[row, column]:.0f}",
                ha="center",
                va="center",
                color="white" if dark else theme["ink"],
            )
        names = [printable(name, 8) for name in clusters]
        table.set_xticks(range(count), names)
        table.set_yticks(range(count), names)
        table.grid(visible=False)
        table.tick_params(length=0)
        table.set_xlabel("named as, % of generated patches")
        table.set_ylabel("cluster of the condition")
    return figure


def gene_scatter(result: GeneCorrespondence) -> Figure:
    """Draw r with the nuclear fraction, generated against real, a dot per gene; the extremes are named."""
    real, generated = (np.array([one.value for one in column]) for column in (result.real, result.generated))
    with new_figure(6.2, 5.2) as (figure, theme):
        axes = figure.add_subplot()
        reach = 1.12 * max(np.abs(real).max(), np.abs(generated).max(), 0.1)
        axes.plot([-reach, reach], [-reach, reach], color=theme["ink-soft"], linewidth=1, linestyle=DASHED)
        axes.axhline(0, color=theme["line"], linewidth=1)
        axes.axvline(0, color=theme["line"], linewidth=1)
        order = np.argsort(real)
        ends = np.unique(np.concatenate([order[:NAMED], order[-NAMED:]]))
        for gene in ends:
            spans = (result.real[gene], result.generated[gene])
            axes.plot([spans[0].low, spans[0].high], [generated[gene]] * 2, color=theme["real"], linewidth=0.8, alpha=0.6)
            axes.plot([real[gene]] * 2, [spans[1].low, spans[1].high], color=theme["synthetic"], linewidth=0.8, alpha=0.6)
        axes.scatter(real, generated, s=16, color=theme["cotrained"], alpha=0.6, linewidths=0, zorder=3)
        axes.set(xlim=(-NAMES * reach, NAMES * reach), ylim=(-reach, reach), aspect="equal")
        axes.set_xticks([tick for tick in axes.get_yticks() if abs(tick) <= reach])
        _name_points(axes, theme, [result.genes[int(gene)] for gene in ends], real[ends], generated[ends])
        axes.set_xlabel("r of the gene with nuclei, real patches")
        axes.set_ylabel("r of the gene with nuclei, generated patches")
        chance = f"{result.shuffled.low:.2f} to {result.shuffled.high:.2f}".replace("-", "\N{MINUS SIGN}")
        axes.set_title(
            f"{len(real)} genes: concordance {in_words(result.concordance)}\nshuffled conditions reach {chance}; "
            f"lines: 95 % of the named genes",
            fontsize="small",
            loc="left",
        )
    return figure


def _name_points(axes: Axes, theme: Theme, names: Sequence[str], x: Floats, y: Floats) -> None:
    """Write names in the free columns left and right of all points, each near the height of its point and tied to it."""
    low, high = axes.get_ylim()
    for side, place, align in ((x < 0, 0.01, "left"), (x >= 0, 0.99, "right")):
        chosen = np.flatnonzero(side)
        chosen = chosen[np.argsort(y[chosen])]
        heights = spread((y[chosen] - low) / (high - low), 0.05)
        for i, height in zip(chosen, heights, strict=True):
            tie = {"arrowstyle": "-", "color": theme["ink-soft"], "linewidth": 0.5, "alpha": 0.6}
            axes.annotate(
                printable(names[int(i)], 12), (x[i], y[i]), xytext=(place, height), textcoords="axes fraction", ha=align,
                va="center", fontsize="small", color=theme["ink"], arrowprops=tie,
            )  # fmt: skip


def dropout_bars(results: Sequence[DropoutResult]) -> Figure:
    """Draw the conditioning with all genes and without a few, and how far patches move; one bar per way of zeroing."""
    with new_figure(8.6, 3.6) as (figure, theme):
        axes, moved = figure.subplots(1, 2, width_ratios=[1.5, 1])
        names = [f"{len(one.dropped[0])} genes at\n{one.filled_with}" for one in results]
        changes = ["change " + in_words(one.change).replace(" (", "\n(") for one in results]
        for column, estimate in enumerate([results[0].r_full, *[one.r_dropped for one in results]]):
            colour = theme["real"] if column == 0 else theme["synthetic"]
            axes.bar(column, estimate.value, width=0.6, color=colour, alpha=0.3)
            vertical_interval(axes, column, estimate, colour)
            if column:
                beside = column + 0.2 * np.linspace(-1, 1, len(results[column - 1].r_per_repeat))
                axes.plot(beside, results[column - 1].r_per_repeat, "x", color=theme["ink-soft"], markersize=5)
        axes.axhline(0, color=theme["ink-soft"], linewidth=1)
        labels = ["all genes", *[f"{name}\n{change}" for name, change in zip(names, changes, strict=True)]]
        axes.set_xticks(range(len(labels)), labels, fontsize="small")
        axes.set_ylabel("conditioning r (crosses: each repeat)")
        axes.grid(axis="x", visible=False)
        for column, one in enumerate(results):
            moved.bar(column, one.feature_shift.value, width=0.6, color=theme["synthetic"], alpha=0.3)
            vertical_interval(moved, column, one.feature_shift, theme["synthetic"])
        moved.axhline(1, color=theme["ink-soft"], linewidth=1, linestyle=DASHED)
        moved.set_xticks(range(len(results)), names, fontsize="small")
        moved.set_xlim(-0.6, len(results) - 0.4)
        moved.set_ylim(bottom=0)
        moved.set_ylabel("distance that patches move\n(1: as far as another spot)")
        moved.grid(axis="x", visible=False)
    return figure


def _legend(axes: Axes, theme: Theme, generated: str, real: str) -> None:
    marks = [
        axes.plot([], [], "o", color=theme["real"], label=real)[0],
        axes.plot([], [], "o", color=theme["synthetic"], markerfacecolor=theme["card"], markeredgewidth=1.5, label=generated)[
            0
        ],
    ]
    axes.figure.legend(handles=marks, loc="outside upper right", ncols=2, fontsize="small")
