"""A look at a corpus: tiles of many slides, named, on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst_server.tiles.corpus import Corpus
from c2lst_shared import atomic

SLIDES_SHOWN = 16  # one row each
TILES_PER_SLIDE = 10
NAME_LENGTH = 40


def save_contact_sheet(path: Path, corpus: Corpus, *, seed: int = 0) -> None:
    """Write a PNG with random tiles, as training sees them: a row for each of up to `SLIDES_SHOWN` slides, with its name."""
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    filled = [slide for slide in corpus.record.slides if slide.count]
    chosen = sorted(rng.permutation(len(filled))[:SLIDES_SHOWN].tolist())
    held_out = {first for first, _ in corpus.record.validation}
    side, gap = corpus.record.settings.image_px, max(corpus.record.settings.image_px // 32, 1)
    figure = Figure(figsize=(TILES_PER_SLIDE, 1.25 * len(chosen)), layout="constrained")
    rows = figure.subplots(len(chosen), 1, squeeze=False)[:, 0]
    for axes, slide in zip(rows, (filled[index] for index in chosen), strict=True):
        strip = np.full((side, TILES_PER_SLIDE * (side + gap) - gap, 3), 255, np.uint8)
        numbers = np.sort(rng.permutation(slide.count)[:TILES_PER_SLIDE])
        for column, number in enumerate(numbers.tolist()):
            strip[:, column * (side + gap) :][:, :side] = corpus.tiles[slide.first + number]
        axes.imshow(strip, interpolation="nearest")
        axes.set_axis_off()
        name = slide.name if len(slide.name) <= NAME_LENGTH else "..." + slide.name[-NAME_LENGTH:]
        title = f"{name}, {slide.count} tiles{', held out' if slide.first in held_out else ''}"
        axes.set_title(title, fontsize=8, loc="left", parse_math=False)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
