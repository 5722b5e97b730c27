"""The conditions of synthetic pairs: expression that looks like the training spots' and gives no spot's own row away.

A mixture of two observed rows does give them away: lines through pairs that share two spots meet in the observed row. So a
row is split as a probabilistic principal component analysis splits it (Tipping and Bishop 1999): a few components that genes
share, and a rest that is each gene's own, most of it chance of sequencing. The components are mixed over several similar
spots; the rest, in which a spot's identity lies, is never used but drawn anew for every pair, with each gene's own spread.

How many components? No more than stand out from shuffled genes (parallel analysis, Horn 1965), and no more than one per
`SPOTS_PER_COMPONENT` training spots: components fitted on few spots remember them (docs/export.md has the measurement).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

ExpressionMode = Literal["interpolated", "observed"]
Floats = npt.NDArray[np.float64]

NEIGHBOURS = 4  # training spots with the most similar components, mixed with a pair's own spot in equal expected shares
SPOTS_PER_COMPONENT = 20
SHUFFLES = 20  # of each gene over the spots, for the spectrum that chance alone gives


class Plan(NamedTuple):
    """The conditions of N pairs, decided before the first patch is generated; M spots are mixed in each."""

    expression: npt.NDArray[np.float32]  # N x G, z-scores
    spots: npt.NDArray[np.intp]  # N x M: rows of the training spots; the first is the one that a pair starts from
    shares: Floats  # N x M: their weights, which sum to 1
    components: int  # that were mixed; 0 when observed

    @property
    def source(self) -> npt.NDArray[np.intp]:
        """Row of the training spot that each pair starts from, N."""
        return self.spots[:, 0]


class Components(NamedTuple):
    """Training rows, S x G, as `mean + scores @ directions` and a rest."""

    mean: Floats  # G
    scores: Floats  # S x D
    directions: Floats  # D x G, orthonormal rows
    rest_sd: Floats  # G: spread of what the components leave


def plan_expression(expression: npt.NDArray[np.float32], per_spot: int, mode: ExpressionMode, seed: int) -> Plan:
    """Decide the conditions of `per_spot` pairs for each training spot.

    Args:
        expression: S x G z-scores of the training spots, two at least.
        per_spot: pairs per spot.
        mode: `interpolated` mixes components over each spot and its `NEIGHBOURS` nearest; `observed` repeats the spot's row.
        seed: of shares and noise.

    Returns:
        The plan in rounds over the spots: its first k S pairs are the plan of k pairs per spot.
    """
    spots = len(expression)
    if mode == "observed":
        source = np.tile(np.arange(spots), per_spot)
        return Plan(expression[source], source[:, None], np.ones((len(source), 1)), 0)
    parts = split_components(np.asarray(expression, np.float64), seed)
    mixed = _similar_spots(parts.scores)
    spread = _missing_spread(parts.scores, mixed)
    streams = np.random.SeedSequence(seed).spawn(per_spot)
    rounds = [_one_round(parts, mixed, spread, np.random.default_rng(stream)) for stream in streams]
    rows, shares = (np.concatenate(part) for part in zip(*rounds, strict=True))
    return Plan(rows.astype(np.float32), np.tile(mixed, (per_spot, 1)), shares, len(parts.directions))


def split_components(expression: Floats, seed: int = 0) -> Components:
    """Split rows, S x G, into the components that genes share and the rest; there is one component at least."""
    mean = expression.mean(axis=0)
    left, strength, directions = np.linalg.svd(expression - mean, full_matrices=False)
    most = min(max(len(expression) // SPOTS_PER_COMPONENT, 1), len(strength))
    outstanding = strength[:most] > _chance_strength(expression, seed)[:most]
    count = max(int(np.cumprod(outstanding).sum()), 1)
    scores = left[:, :count] * strength[:count]
    rest = expression - mean - scores @ directions[:count]
    return Components(mean, scores, directions[:count], np.sqrt((rest**2).mean(axis=0)))


def _chance_strength(expression: Floats, seed: int) -> Floats:
    """Return the singular values that genes without any relation reach in 5 % of cases, min(S, G) of them, falling."""
    generator = np.random.default_rng(seed)
    centred = expression - expression.mean(axis=0)
    shuffled = (generator.permuted(centred, axis=0) for _ in range(SHUFFLES))
    return np.asarray(np.percentile([_singular_values(rows) for rows in shuffled], 95, axis=0))


def _singular_values(rows: Floats) -> Floats:
    """Return the min(S, G) singular values, falling; through the smaller product, as their vectors are not asked for."""
    square = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(square)[::-1], 0))


def _similar_spots(scores: Floats) -> npt.NDArray[np.intp]:
    """Return for each spot itself and the spots with the nearest scores, S x M."""
    from sklearn.neighbors import NearestNeighbors

    # brute force works in chunks, so that memory does not grow with the square of the spots
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(scores) - 1), algorithm="brute").fit(scores)
    return np.column_stack([np.arange(len(scores)), search.kneighbors(return_distance=False)])


def _missing_spread(scores: Floats, mixed: npt.NDArray[np.intp]) -> Floats:
    """Return D x D, which makes of standard normal numbers the spread that mixing takes away.

    Means of spots lie closer together than spots do. Shares from a flat Dirichlet distribution over M spots have the mean
    1 / M and leave 1 / (M + 1) of the spread within such a group.
    """
    members = scores[mixed]  # S x M x D
    centre = members.mean(axis=1)
    within = members - centre[:, None]
    size = mixed.shape[1]
    left = np.einsum("smd,sme->de", within, within) / (len(scores) * size * (size + 1))
    missing = np.cov(scores.T, bias=True) - np.cov(centre.T, bias=True) - left
    values, vectors = np.linalg.eigh(np.atleast_2d(missing))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def _one_round(
    parts: Components, mixed: npt.NDArray[np.intp], spread: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw one pair per spot: rows, S x G, and shares, S x M."""
    shares = generator.dirichlet(np.ones(mixed.shape[1]), size=len(mixed))
    scores = np.einsum("sm,smd->sd", shares, parts.scores[mixed])
    scores += generator.standard_normal(scores.shape) @ spread.T
    rest = parts.rest_sd * generator.standard_normal((len(mixed), len(parts.rest_sd)))
    return parts.mean + scores @ parts.directions + rest, shares
