"""Cosine similarity of patches that belong together, between what shuffled pairs have and what neighbouring real patches have.

Features of a network are all positive or nearly so, so that any two patches are similar: a cosine of 0.9 may be what patches
have that do not belong together. N = spots, M = unadapted patches, D = features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.embedding import Features
from c2lst_client.evaluate.references import nearest_other, range_of, shuffles
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import Resamples, mean_per_spot

Floats = npt.NDArray[np.float64]


class PairSimilarity(Result):
    """Cosine similarity of the features of patches that belong together; higher is more alike."""

    generated: Interval  # real and generated patch of one spot: mean over spots
    generated_sd: Interval  # standard deviation over spots: how unevenly, not how uncertain
    shuffled: Interval  # floor: pairs shuffled between spots; mean of many shuffles and the range that holds 95 % of them
    real_against_real: Interval  # a real patch and any other real one: above `shuffled` where generated patches look otherwise
    real_neighbours: Interval | None  # ceiling: a real patch and that of the nearest other spot; None without centres
    unadapted: Interval | None  # a real patch and any of the unadapted backbone


def pair_similarity(
    real: Features,
    generated: Features,
    unadapted: Features | None,
    draws: Resamples,
    *,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> PairSimilarity:
    """Measure the similarity of pairs and what to compare it with.

    Args:
        real: N x D.
        generated: N x D, row i for the spot of row i of `real`.
        unadapted: M x D, patches of the backbone without its adapter.
        draws: of the N spots.
        centres: N x 2 positions of the spots on the slide.
        seed: of the shuffles.
    """
    real_unit, generated_unit = _unit(real), _unit(generated)
    between, among = real_unit @ generated_unit.T, real_unit @ real_unit.T
    count = len(real)
    pairs = np.diagonal(between)
    to_others = (among.sum(axis=1) - np.diagonal(among)) / (count - 1)
    to_unadapted = None if unadapted is None else (real_unit @ _unit(unadapted).T).mean(axis=1)
    to_neighbour = None if centres is None else among[np.arange(count), nearest_other(centres)]

    def mean(values: Floats) -> Interval:
        return mean_per_spot(values, draws).interval(-1, 1)

    return PairSimilarity(
        generated=mean(pairs),
        generated_sd=_spread(pairs, draws),
        shuffled=range_of(between[np.arange(count), shuffles(count, seed)].mean(axis=1)),
        real_against_real=mean(to_others),
        real_neighbours=None if to_neighbour is None else mean(to_neighbour),
        unadapted=None if to_unadapted is None else mean(to_unadapted),
    )


def _spread(values: Floats, draws: Resamples) -> Interval:
    """Return the standard deviation over spots, with the interval of its square."""
    variance = mean_per_spot((values - values.mean()) ** 2, draws).interval(0)
    return Interval(value=variance.value**0.5, low=variance.low**0.5, high=variance.high**0.5)


def _unit(features: Features) -> Floats:
    """Return features of length 1."""
    wide = features.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))
