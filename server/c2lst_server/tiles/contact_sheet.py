"""A look at a corpus: tiles of many slides, named, on one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst_server.tiles.corpus import Corpus, CorpusSlide
from c2lst_shared import atomic

COLUMNS = 10  # tiles beside each other; no slide shows more
ROWS = 16
LETTERS_PER_TILE = 14


def save_contact_sheet(path: Path, corpus: Corpus, *, seed: int = 0) -> None:
    """Write a PNG with random tiles, as training sees them, named: up to `COLUMNS` of a slide, up to `ROWS` rows of slides."""
    from matplotlib.figure import Figure

    rng = np.random.default_rng((seed, 1))  # not the stream that chose the slides to hold out
    held_out = {first for first, _ in corpus.record.validation}
    rows = _rows([slide for slide in corpus.record.slides if slide.count], rng)
    side, gap = corpus.record.settings.image_px, max(corpus.record.settings.image_px // 32, 1)
    figure = Figure(figsize=(COLUMNS, 1.25 * len(rows)), layout="constrained")
    for axes, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        strip = np.full((side, COLUMNS * (side + gap) - gap, 3), 255, np.uint8)
        column = 0
        for slide in row:
            shown = min(slide.count, COLUMNS)
            said = _caption(slide, shown * LETTERS_PER_TILE, held_out=slide.first in held_out)
            axes.text(column * (side + gap), -0.06 * side, said, fontsize=8, parse_math=False)
            for number in np.sort(rng.permutation(slide.count)[:shown]).tolist():
                strip[:, column * (side + gap) :][:, :side] = corpus.tiles[slide.first + number]
                column += 1
        axes.imshow(strip, interpolation="nearest")
        axes.set_axis_off()
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _caption(slide: CorpusSlide, letters: int, *, held_out: bool) -> str:
    """Say as much as there is room for: name, number of tiles, whether held out."""
    said = [slide.name, f"{slide.count} tiles", "held out"] if held_out else [slide.name, f"{slide.count} tiles"]
    fitting = [", ".join(said[:parts]) for parts in range(len(said), 0, -1) if len(", ".join(said[:parts])) <= letters]
    return fitting[0] if fitting else f"{slide.name[: letters - 1]}\u2026"


def _rows(slides: list[CorpusSlide], rng: np.random.Generator) -> list[list[CorpusSlide]]:
    """Choose slides at random and lay them out: small ones share a row."""
    rows: list[list[CorpusSlide]] = []
    free = 0
    for index in rng.permutation(len(slides)).tolist():
        wanted = min(slides[index].count, COLUMNS)
        if wanted > free:
            if len(rows) == ROWS:
                break
            rows.append([])
            free = COLUMNS
        rows[-1].append(slides[index])
        free -= wanted
    return [sorted(row, key=lambda slide: slide.name) for row in sorted(rows, key=lambda row: min(s.name for s in row))]
