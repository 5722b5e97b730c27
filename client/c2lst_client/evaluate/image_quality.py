"""How good generated patches are, as pictures: alike pair by pair, and alike as sets, between a floor and a ceiling.

No such number means anything alone. Beside each stand `real_against_real`, which is what real tissue reaches against itself,
and `unadapted`, which is what the backbone reaches without the adapter; a cosine similarity also has `shuffled`, the similarity
of patches that do not belong together. Features of a network are all positive or nearly so, so any two patches are similar: a
cosine of 0.9 may be what shuffled pairs have.

Distances that depend on the sizes of the sets are compared at one size (references.py). Only the kernel distance is free of
that bias; the Frechet distance is here because readers know it, and means nothing beside published values (frechet.py).
N = spots, M = unadapted patches, P = side in px, D = features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.coverage import NEIGHBOURS, ball_counts, distances
from c2lst_client.evaluate.distance import kernel_distance
from c2lst_client.evaluate.embedding import Encoder, Features
from c2lst_client.evaluate.encoders import EncoderProvenance
from c2lst_client.evaluate.frechet import frechet_distance, frechet_estimate
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.pair_similarity import PairSimilarity, pair_similarity
from c2lst_client.evaluate.references import (
    MIN_SPOTS,
    Rows,
    SetDistance,
    SizeMatched,
    over_halves,
    random_halves,
    random_subsets,
    range_of,
)
from c2lst_client.evaluate.results import Interval, Result
from c2lst_client.evaluate.statistics import Resamples, mean_per_spot, resample
from c2lst_shared.errors import BadInput

MOST_PATCHES = 1000  # of each kind: more would not change the finding, and distances cost their square and cube

Floats = npt.NDArray[np.float64]


class ImageQuality(Result):
    """What one encoder says of generated patches."""

    encoder: EncoderProvenance | None
    spots: int  # N after thinning
    unadapted_patches: int
    units: str  # what the bootstrap drew, in words
    neighbours: int  # k of density and coverage
    cosine: PairSimilarity | None  # None where generated patches belong to no spots
    kernel: SetDistance  # KID; 0 for sets of one kind, unbiased
    frechet: SetDistance  # FID; biased upwards by small sets
    density: SetDistance  # about 1 for real tissue
    coverage: SetDistance  # 0 to 1; intervals hold for the given other set, whose patches are not redrawn


class FeatureSets(NamedTuple):
    """Features of the three kinds of patches under one encoder."""

    real: Features  # N x D
    generated: Features  # N x D; row i belongs to the spot of row i of `real` when paired
    unadapted: Features | None = None  # M x D


def measure_image_quality(
    encoder: Encoder,
    real: Pixels,
    generated: Pixels,
    *,
    unadapted: Pixels | None = None,
    centres: npt.NDArray[np.floating] | None = None,
    paired: bool = True,
    neighbours: int = NEIGHBOURS,
    provenance: EncoderProvenance | None = None,
    seed: int = 0,
) -> ImageQuality:
    """Encode patches and measure; more than `MOST_PATCHES` of a kind are thinned at random first.

    Args:
        encoder: from `load_encoder`.
        real: N x P x P x 3.
        generated: N x P x P x 3, row i from the expression of spot i; any number of them when not `paired`.
        unadapted: M x P x P x 3, patches of the backbone without its adapter.
        centres: N x 2 positions of the real spots; with them intervals respect that neighbours are alike. Spots of several
            slides are told apart by shifting each slide by more than its width.
        paired: whether row i of `generated` belongs to row i of `real`.
        neighbours: k of density and coverage.
        provenance: of the encoder, for the record.
        seed: of thinning, halving, shuffling and bootstrap.

    Raises:
        BadInput: there are too few patches, or they do not fit together.
    """
    _check(real, generated, unadapted, centres, paired, neighbours)
    real_rows = _thinned(len(real), seed)
    generated_rows = real_rows if paired else _thinned(len(generated), seed)
    unadapted_rows = _thinned(0 if unadapted is None else len(unadapted), seed)
    sets = FeatureSets(
        encoder(real[real_rows]),
        encoder(generated[generated_rows]),
        None if unadapted is None else encoder(unadapted[unadapted_rows]),
    )
    kept = None if centres is None else np.asarray(centres, np.float64)[real_rows]
    return quality_of_features(sets, centres=kept, paired=paired, neighbours=neighbours, provenance=provenance, seed=seed)


def quality_of_features(
    sets: FeatureSets,
    *,
    centres: npt.NDArray[np.floating] | None = None,
    paired: bool = True,
    neighbours: int = NEIGHBOURS,
    provenance: EncoderProvenance | None = None,
    seed: int = 0,
) -> ImageQuality:
    """Measure what was encoded already; arguments and errors as for `measure_image_quality`."""
    real, generated, unadapted = sets
    _check(real, generated, unadapted, centres, paired, neighbours)
    of_real = resample(len(real), centres=centres, seed=seed)
    of_generated = of_real if paired else resample(len(generated), seed=seed + 1)
    of_unadapted = None if unadapted is None else resample(len(unadapted), seed=seed + 2)
    draws = _Draws(of_real, of_generated, of_unadapted)
    halves = random_halves(len(real), seed)
    rows = _HalfRows(
        halves,
        halves[1] if paired else random_subsets(len(generated), halves, seed + 1),
        None if unadapted is None else random_subsets(len(unadapted), halves, seed + 2),
    )
    return ImageQuality(
        encoder=provenance,
        spots=len(real),
        unadapted_patches=0 if unadapted is None else len(unadapted),
        units=of_real.units,
        neighbours=neighbours,
        cosine=pair_similarity(real, generated, unadapted, of_real, centres=centres, seed=seed) if paired else None,
        kernel=_kernel(sets, draws, rows, paired=paired),
        frechet=_frechet(sets, draws, rows),
        **_density_and_coverage(sets, draws, rows, neighbours),
    )


class _Draws(NamedTuple):
    real: Resamples
    generated: Resamples
    unadapted: Resamples | None


class _HalfRows(NamedTuple):
    real: tuple[Rows, Rows]
    generated: Rows
    unadapted: Rows | None


def _kernel(sets: FeatureSets, draws: _Draws, rows: _HalfRows, *, paired: bool) -> SetDistance:
    real, generated, unadapted = sets

    def halves_of(other: Features, other_rows: Rows) -> Interval:
        # a half is a draw in which each of its patches has the same weight and the others none
        one, two = (_as_draws(chosen, len(x)) for chosen, x in ((rows.real[0], real), (other_rows, other)))
        return range_of(kernel_distance(real, other, one, two).draws)

    first = rows.real[0]
    return SetDistance(
        generated=kernel_distance(real, generated, draws.real, draws.generated, paired=paired).interval(),
        unadapted=(
            None
            if unadapted is None or draws.unadapted is None
            else kernel_distance(real, unadapted, draws.real, draws.unadapted).interval()
        ),
        at_equal_size=SizeMatched(
            size=first.shape[1],
            halvings=len(first),
            real_against_real=halves_of(real, rows.real[1]),
            generated=halves_of(generated, rows.generated),
            unadapted=None if unadapted is None or rows.unadapted is None else halves_of(unadapted, rows.unadapted),
        ),
    )


def _as_draws(chosen: Rows, count: int) -> Resamples:
    weights = np.zeros((len(chosen), count))
    np.put_along_axis(weights, chosen, 1 / chosen.shape[1], axis=1)
    return Resamples(weights, np.ones((len(chosen), 1)), "halves", 1.0)


def _frechet(sets: FeatureSets, draws: _Draws, rows: _HalfRows) -> SetDistance:
    real, generated, unadapted = sets

    def to(other: Features) -> Callable[[Rows, Rows], float]:
        return lambda one, two: frechet_distance(real[one], other[two])

    return SetDistance(
        generated=frechet_estimate(real, generated, draws.real, draws.generated).interval(0),
        unadapted=(
            None
            if unadapted is None or draws.unadapted is None
            else frechet_estimate(real, unadapted, draws.real, draws.unadapted).interval(0)
        ),
        at_equal_size=over_halves(
            rows.real,
            to(real),
            to(generated),
            None if unadapted is None else to(unadapted),
            generated_rows=rows.generated,
            unadapted_rows=rows.unadapted,
        ),
    )


def _density_and_coverage(sets: FeatureSets, draws: _Draws, rows: _HalfRows, k: int) -> dict[str, SetDistance]:
    real, generated, unadapted = (None if x is None else x.astype(np.float64) for x in sets)
    assert real is not None  # noqa: S101 -- for mypy: only `unadapted` may be missing
    assert generated is not None  # noqa: S101
    among = distances(real, real)
    to_generated = distances(real, generated)
    to_unadapted = None if unadapted is None else distances(real, unadapted)
    fewer = min(k, rows.real[0].shape[1] - 1)

    def found(number: int) -> SetDistance:
        """Return density (0) or coverage (1)."""

        def of_rows(to_other: Floats) -> Callable[[Rows, Rows], float]:
            return lambda one, two: float(
                ball_counts(among[np.ix_(one, one)], to_other[np.ix_(one, two)], fewer)[number].mean()
            )

        def of_all(to_other: Floats, of_other: Resamples) -> Interval:
            per_patch = ball_counts(among, to_other, k)[number]
            return mean_per_spot(per_patch, (of_other, draws.real)[number]).interval(0, (np.inf, 1)[number])

        return SetDistance(
            generated=of_all(to_generated, draws.generated),
            unadapted=(None if to_unadapted is None or draws.unadapted is None else of_all(to_unadapted, draws.unadapted)),
            at_equal_size=over_halves(
                rows.real,
                of_rows(among),
                of_rows(to_generated),
                None if to_unadapted is None else of_rows(to_unadapted),
                generated_rows=rows.generated,
                unadapted_rows=rows.unadapted,
            ),
        )

    return {"density": found(0), "coverage": found(1)}


def _thinned(count: int, seed: int) -> Rows:
    if count <= MOST_PATCHES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST_PATCHES, replace=False))


def _check(
    real: npt.NDArray[np.generic],
    generated: npt.NDArray[np.generic],
    unadapted: npt.NDArray[np.generic] | None,
    centres: npt.NDArray[np.floating] | None,
    paired: bool,
    neighbours: int,
) -> None:
    if paired and len(generated) != len(real):
        raise BadInput(
            f"{len(generated)} generated patches do not pair with {len(real)} real ones; generate one for each spot."
        )
    if centres is not None and len(centres) != len(real):
        raise BadInput(f"There are {len(centres)} positions for {len(real)} real patches; give those of the same spots.")
    if min(len(real), len(generated)) < MIN_SPOTS:
        raise BadInput(
            f"{len(real)} real and {len(generated)} generated patches are too few; give at least {MIN_SPOTS} of each."
        )
    for kind, patches in (("generated", generated), ("unadapted", unadapted)):
        if patches is not None and len(patches) < max(min(len(real), MOST_PATCHES) // 2, MIN_SPOTS):
            raise BadInput(
                f"{len(patches)} {kind} patches are too few beside {len(real)} real ones; generate half as many at least."
            )
    if not 1 <= neighbours < len(real):
        raise BadInput(f"Density and coverage need 1 to {len(real) - 1} neighbours, not {neighbours}.")
    shapes = {x.shape[1:] for x in (real, generated, unadapted) if x is not None}
    if len(shapes) > 1:
        raise BadInput(f"Patches of different sizes or features ({', '.join(map(str, sorted(shapes)))}) do not compare.")
