"""Are generated samples nearer to training spots than to held-out ones? Distances to the nearest of either set, compared.

The larger set would have nearer neighbours by its size alone, so it is drawn down to the size of the smaller, many times. A
proportion above one half is a sign of memory only where both sets are the same kind of tissue; and one half proves no privacy
(a copy of one spot in a thousand samples does not move it), which is why the closest pairs are there to be looked at, and
membership inference is measured beside it.

The proportion depends on which spots happen to be in either set far more than on the generated samples. Its interval comes
from halves of both sets: what varies between random halves varies as the whole does between slides (the delete-half
jackknife, Shao and Wu 1989). Halves are parts of the slide, not single spots, and generated samples are drawn with them.

N generated samples, S training and M held-out spots.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.statistics import Estimate, resample, spatial_blocks
from c2lst_client.privacy.results import Basis, NeighbourResult
from c2lst_shared.errors import BadInput

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.floating]

REPEATS = 50  # draws of the larger set
HALVES = 500
CLOSEST = 6  # pairs to show
CHUNK = 128  # patches at a time: as floats they are four times as large, and eight times more when turned


class Places(NamedTuple):
    """Where samples lie on the slide, x and y."""

    generated: Rows  # N x 2
    training: Rows  # S x 2
    held_out: Rows  # M x 2


def nearest_in_features(
    basis: Basis, generated: Rows, training: Rows, held_out: Rows, places: Places, *, seed: int = 0
) -> NeighbourResult:
    """Compare in a space of features or of expression, by Euclidean distance.

    Args:
        basis: what the columns are.
        generated: N x D.
        training: S x D.
        held_out: M x D.
        places: of all of them.
        seed: of the draws.

    Raises:
        BadInput: a set has fewer than two.
    """
    from sklearn.metrics import pairwise_distances

    _check(len(generated), len(training), len(held_out))
    points = generated.astype(np.float64)
    to_training, to_held_out = (pairwise_distances(points, rows.astype(np.float64)) for rows in (training, held_out))
    return _compare(basis, to_training, to_held_out, places, seed)


def nearest_in_pixels(
    generated: Pixels, training: Pixels, held_out: Pixels, places: Places, *, seed: int = 0
) -> NeighbourResult:
    """Compare pixel by pixel: root mean square difference, 0 to 255, in the best of the eight rotations and reflections.

    Training shows the adapter every patch in all eight, so a remembered one may come out in any.

    Args:
        generated: N x P x P x 3.
        training: S x P x P x 3.
        held_out: M x P x P x 3.
        places: of all of them.
        seed: of the draws.

    Raises:
        BadInput: a set has fewer than two.
    """
    _check(len(generated), len(training), len(held_out))
    to_training, to_held_out = (_pixel_distances(generated, patches) for patches in (training, held_out))
    return _compare("pixels", to_training, to_held_out, places, seed)


def _check(generated: int, training: int, held_out: int) -> None:
    if min(generated, training, held_out) < 2:
        raise BadInput(
            f"{generated} generated samples, {training} training and {held_out} held-out spots cannot be compared; "
            "give at least two of each."
        )


def _compare(basis: Basis, to_training: Floats, to_held_out: Floats, places: Places, seed: int) -> NeighbourResult:
    """Compare distances, N x S and N x M."""
    generator = np.random.default_rng(seed)
    size = min(to_training.shape[1], to_held_out.shape[1])
    repeats = 1 if to_training.shape == to_held_out.shape else REPEATS
    draws = [_nearest_of_as_many(to_training, to_held_out, generator) for _ in range(repeats)]
    near, far = (np.mean(distances, axis=0) for distances in zip(*draws, strict=True))
    closer = np.mean([_closer(*both) for both in draws], axis=0)  # N
    value = float(closer.mean())
    drawn = [resample(len(where), centres=where, seed=seed) for where in places]
    halves = np.empty(HALVES)
    of_training, of_held_out = spatial_blocks(places.training), spatial_blocks(places.held_out)
    for number in range(HALVES):
        some, others = to_training[:, _half(of_training, generator)], to_held_out[:, _half(of_held_out, generator)]
        halves[number] = drawn[0].spots[number] @ _closer(*_nearest_of_as_many(some, others, generator))
    share = Estimate(value, halves - halves.mean() + value, max(one.stretch for one in drawn))
    return NeighbourResult(
        basis=basis,
        closer_to_training=share.interval(0, 1),
        units="halves of the training and of the held-out spots, by parts of the slide",
        set_size=size,
        repeats=repeats,
        to_training=near.tolist(),
        to_held_out=far.tolist(),
        closest=_closest(to_training, to_held_out),
    )


def _closer(to_training: Floats, to_held_out: Floats) -> Floats:
    """Say of each sample whether it is nearer to training; a tie is half."""
    return np.asarray((to_training < to_held_out) + 0.5 * (to_training == to_held_out))


def _half(blocks: npt.NDArray[np.intp], generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the rows in a random half of the blocks."""
    count = int(blocks.max()) + 1
    return np.flatnonzero(np.isin(blocks, generator.choice(count, max(count // 2, 1), replace=False)))


def _nearest_of_as_many(to_training: Floats, to_held_out: Floats, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the distance to the nearest spot of either set, N each; the larger set is drawn down to the smaller."""
    size = min(to_training.shape[1], to_held_out.shape[1])
    near, far = (
        (distances if distances.shape[1] == size else generator.choice(distances, size, axis=1, replace=False)).min(axis=1)
        for distances in (to_training, to_held_out)
    )
    return near, far


def _closest(to_training: Floats, to_held_out: Floats) -> list[tuple[int, int, int]]:
    """Return the samples nearest to a training spot, each training spot once, with their nearest spot of either set."""
    nearest, shown = to_training.argmin(axis=1), set[int]()
    found: list[tuple[int, int, int]] = []
    for sample in np.argsort(to_training.min(axis=1), kind="stable").tolist():
        if nearest[sample] not in shown and len(found) < CLOSEST:
            shown.add(int(nearest[sample]))
            found.append((sample, int(nearest[sample]), int(to_held_out[sample].argmin())))
    return found


def _pixel_distances(generated: Pixels, reference: Pixels) -> Floats:
    """Return N x (number of references), the best over the eight symmetries, in chunks of both."""
    found = np.empty((len(generated), len(reference)))
    for start in range(0, len(generated), CHUNK):
        turned = _symmetries(generated[start : start + CHUNK])
        for first in range(0, len(reference), CHUNK):
            block = reference[first : first + CHUNK]
            flat = block.reshape(len(block), -1).astype(np.float32)
            squares = (flat**2).sum(axis=1)
            best = np.min([(one**2).sum(axis=1)[:, None] + squares - 2 * one @ flat.T for one in turned], axis=0)
            found[start : start + CHUNK, first : first + CHUNK] = np.sqrt(np.maximum(best, 0) / flat.shape[1])
    return found


def _symmetries(patches: Pixels) -> list[npt.NDArray[np.float32]]:
    """Return the patches in all eight rotations and reflections, flat, each n x 3 P^2."""
    turned = [np.rot90(image, quarter, (1, 2)) for image in (patches, patches[:, :, ::-1]) for quarter in range(4)]
    return [image.reshape(len(image), -1).astype(np.float32) for image in turned]
