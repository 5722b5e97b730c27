"""Figures of the privacy measurement: ROC curves, distances to the nearest spots, and the closest pairs to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.privacy.results import AttackResult, Basis, NeighbourResult
from c2lst_client.report.charts import WIDTH, Draw, printable, style
from c2lst_client.report.theme import Theme, themes
from c2lst_client.study.figure_style import new_figure
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FPR = 0.01
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
BINS = 24
UNITS: dict[Basis, str] = {
    "embedding": "distance in the embedding (EfficientNet-lite0)",
    "pixels": "root mean square difference of pixels, grey levels",
    "expression": "distance in expression, z-scores",
}


def roc_figure(attacks: Sequence[AttackResult], control: AttackResult) -> Figure:
    """Draw ROC curves on a logarithmic axis, where the harm is, with the band of the first attack and the mark at 1 %.

    Args:
        attacks: the first is the declared one, drawn with its 95 % band.
        control: a score that knows nothing of training.

    Raises:
        BadInput: there is no attack, or there are more than can be told apart.
    """
    if not 1 <= len(attacks) <= len(DASHES):
        raise BadInput(f"{len(attacks)} attacks cannot be drawn in one figure; give 1 to {len(DASHES)}.")

    def plot(axes: Axes, theme: Theme) -> None:
        lowest = min(attacks[0].smallest_fpr, FPR) / 1.5
        chance = np.geomspace(lowest, 1, 50)
        axes.plot(chance, chance, color=theme["ink-soft"], linewidth=1, linestyle=(0, (4, 3)), label="guessing")
        first = attacks[0].roc
        rates = np.maximum(first.fpr, lowest)
        axes.fill_between(rates, first.low, first.high, color=theme["synthetic"], alpha=0.2, linewidth=0)
        axes.axvline(FPR, color=theme["ink-soft"], linewidth=0.8)
        for attack, dashes in zip(attacks, DASHES, strict=False):
            label = f"{printable(attack.attack, 60)}, AUC {_rounded(attack)}"
            axes.plot(
                np.maximum(attack.roc.fpr, lowest), attack.roc.tpr, color=theme["synthetic"], linestyle=dashes, label=label
            )
        label = f"control: {printable(control.attack, 50)}, AUC {_rounded(control)}"
        axes.plot(np.maximum(control.roc.fpr, lowest), control.roc.tpr, color=theme["neutral"], label=label)
        tpr = attacks[0].tpr
        error = [[max(tpr.value - tpr.low, 0)], [max(tpr.high - tpr.value, 0)]]
        axes.errorbar([FPR], [tpr.value], yerr=error, fmt="o", color=theme["synthetic"], markersize=6, capsize=3)
        if attacks[0].smallest_fpr > FPR:
            note = (
                f"left of {100 * attacks[0].smallest_fpr:.0f} %: no false positive\namong {attacks[0].non_members} non-members"
            )
            axes.axvspan(lowest, attacks[0].smallest_fpr, color=theme["line"], alpha=0.5, linewidth=0)
            axes.text(lowest * 1.1, 0.97, note, va="top", color=theme["ink-soft"], fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(lowest, 1)
        axes.set_ylim(0, 1.01)
        axes.set_xticks([rate for rate in (0.001, 0.01, 0.1, 1) if rate >= lowest], minor=False)
        axes.xaxis.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
        axes.yaxis.set_major_formatter(lambda rate, _: f"{100 * rate:.0f} %")
        axes.set_xlabel("non-members taken for members (logarithmic)")
        axes.set_ylabel("members found")
        axes.figure.legend(loc="outside lower left", fontsize=8)

    return _figure(plot, 4.6)


def distances_figure(result: NeighbourResult) -> Figure:
    """Draw how far generated samples are from the nearest training and from the nearest held-out spot."""

    def plot(axes: Axes, theme: Theme) -> None:
        sets = (("nearest training spot", result.to_training, "real"), ("nearest held-out spot", result.to_held_out, "neutral"))
        edges = np.histogram_bin_edges(np.concatenate([result.to_training, result.to_held_out]), BINS).tolist()
        for label, distances, colour in sets:
            shares = np.full(len(distances), 100 / max(len(distances), 1))
            axes.hist(distances, edges, weights=shares, histtype="stepfilled", color=theme[colour], alpha=0.25)
            axes.hist(distances, edges, weights=shares, histtype="step", color=theme[colour], linewidth=1.6, label=label)
            axes.axvline(float(np.median(distances)), color=theme[colour], linewidth=1.2, linestyle=(0, (4, 3)))
        closer = result.closer_to_training
        told = (
            f"nearer to training: {100 * closer.value:.0f} % "
            f"(95 % interval {100 * closer.low:.0f} to {100 * closer.high:.0f} %)\n"
            f"sets of {result.set_size} spots; dashed: medians"
        )
        axes.set_title(told, loc="left", fontsize=8, color=theme["ink-soft"])
        axes.set_xlabel(UNITS[result.basis])
        axes.set_ylabel("generated samples, %")
        axes.legend(fontsize=8)

    return _figure(plot, 3.2)


def closest_pairs_figure(generated: Pixels, training: Pixels, held_out: Pixels) -> Figure:
    """Show generated patches, the training and the held-out patch nearest to each, one column per generated patch.

    Args:
        generated: K x P x P x 3.
        training: K x P x P x 3, the nearest training patch of each.
        held_out: K x P x P x 3, the nearest held-out patch of each.

    Raises:
        BadInput: the three are not as many.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if not len(generated) == len(training) == len(held_out) >= 1:
        raise BadInput(
            f"{len(generated)} generated, {len(training)} training and {len(held_out)} held-out patches make no figure; "
            "give as many of each."
        )
    light, _ = themes()
    rows = (
        ("generated", generated, "synthetic"),
        ("nearest\ntraining", training, "real"),
        ("nearest\nheld-out", held_out, "neutral"),
    )
    with mpl.rc_context(style(light)):
        side = (1.4 * WIDTH - 0.8) / max(len(generated), 4)
        figure = Figure(figsize=(1.4 * WIDTH, 3 * side + 0.2), layout="constrained")
        grid = figure.subplots(3, len(generated), squeeze=False)
        for axes_of_row, (label, patches, colour) in zip(grid, rows, strict=True):
            for axes, patch in zip(axes_of_row, patches, strict=True):
                axes.imshow(patch, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                axes.spines[:].set(visible=True, color=light[colour], linewidth=2)
            axes_of_row[0].set_ylabel(label, rotation=0, ha="right", va="center", color=light["ink"])
    return figure


def _figure(plot: Draw, height: float) -> Figure:
    with new_figure(1.2 * WIDTH, height) as (figure, theme):
        plot(figure.add_subplot(), theme)
    return figure


def _rounded(attack: AttackResult) -> str:
    return f"{attack.auc.value:.2f} [{attack.auc.low:.2f}, {attack.auc.high:.2f}]"
