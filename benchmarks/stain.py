"""Stain normalisation: patches per second against staintools' normaliser called for each patch.

    python benchmarks/stain.py SLIDE [--patches 64] [--method vahadane] [--repeats 3] [--json]

Patches of 224 px are cut from the slide's tissue beforehand, in the last case with the clock running. Fitting the slide, which
happens once, is part of our time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import paired

from c2lst_shared.images.slide import Slide
from c2lst_shared.images.stain import fit_slide, normalise, reference_from
from c2lst_shared.images.tiling import tile_positions

SIDE = 224


def chosen_centres(given: argparse.Namespace) -> tuple[Slide, np.ndarray]:
    slide = Slide(given.slide)
    centres = tile_positions(slide, 1.0, SIDE, 0.5, 0.7)
    rows = np.random.default_rng(0).choice(len(centres), given.patches, replace=len(centres) < given.patches)
    return slide, centres[rows]


def cut(slide: Slide, centres: np.ndarray) -> np.ndarray:
    return np.stack([slide.read_square(float(x), float(y), SIDE, SIDE) for x, y in centres])


def with_staintools(given: argparse.Namespace) -> paired.Work:
    import staintools

    pixels = cut(*chosen_centres(given))
    normaliser = staintools.StainNormalizer(method=given.method)
    normaliser.fit(pixels[0])

    def work() -> int:
        done = 0
        for patch in pixels[: given.of_staintools]:
            normaliser.transform(patch)
            done += 1
        return done

    return work


def with_ours(*, cutting: bool) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        slide, centres = chosen_centres(given)
        ready = cut(slide, centres)
        reference = reference_from(fit_slide(ready, given.method))

        def work() -> int:
            pixels = cut(slide, centres) if cutting else ready
            normalise(pixels, fit_slide(slide, given.method), reference)
            return len(pixels)

        return work

    return prepare


CASES: dict[str, paired.Prepare] = {
    "staintools, patch by patch": with_staintools,
    "ours: slide fitted once": with_ours(cutting=False),
    "ours: the same, and cutting the tiles": with_ours(cutting=True),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("slide", type=Path, help="an H&E image")
    arguments.add_argument("--method", default="vahadane", choices=["macenko", "vahadane"])
    arguments.add_argument("--patches", type=int, default=256)
    arguments.add_argument("--of-staintools", type=int, default=8, help="patches that staintools is timed on")
    paired.main("stain normalisation", CASES, "patches", arguments, __file__)
