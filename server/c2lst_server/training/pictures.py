"""What a run shows while it runs: a grid of samples and the loss curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from c2lst_shared import atomic


def save_grid(path: Path, patches: npt.NDArray[np.uint8], *, columns: int = 8, gap: int = 2, least_side: int = 96) -> None:
    """Save `patches` [N, P, P, 3] as a grid on white, each enlarged to at least `least_side` pixels."""
    count, side = patches.shape[:2]
    rows = -(-count // columns)
    sheet = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, 3), 255, np.uint8)
    for index, patch in enumerate(patches):
        top, left = (index // columns) * (side + gap), (index % columns) * (side + gap)
        sheet[top : top + side, left : left + side] = patch
    image = Image.fromarray(sheet)
    factor = -(-least_side // side)
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    with atomic.replacing(path) as temporary:
        image.save(temporary, format="PNG")


def save_curve(path: Path, losses: Sequence[float], validation: Mapping[int, float]) -> None:
    """Save the training loss (dots, running mean) and the validation loss (step -> loss) as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, ".", color="#b8c4ce", markersize=2, label="training, each step")
    window = max(1, min(50, len(losses) // 4))
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, color="#1b6ca8", label=f"training, mean of {window} steps")
    if validation:
        axes.plot(list(validation), list(validation.values()), "o-", color="#c4572e", label="validation, averaged weights")
    axes.set(xlabel="step", ylabel="weighted denoising loss", yscale="log", title="Pretraining")
    axes.grid(visible=True, alpha=0.2)
    axes.legend(frameon=False)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
