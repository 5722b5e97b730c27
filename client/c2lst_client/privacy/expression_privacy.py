"""Attacks on the expression of released pairs, by someone who knows how they are made and sees the rows and their places.

To compute observed rows:

- lines: where a pair mixes two rows, pairs that share two spots lie on a line through both, and two such lines meet in the
  observed row. All lines through two pairs of a place are met with each other.
- means: the mean over the pairs of a place, from which noise averages out.
- unmixed means: someone who knows `expression_plan.py` knows which shares of a spot and its neighbours a mean is expected to
  hold; they find the components from the released rows, guess the neighbours from the means, move the rows' components
  towards what would mix to those means, and guess again.

Every computed row is compared with every observed one, and the best counts, though an attacker would not know which it is: an
upper bound. Held-out rows are the null. To tell whether a known row was used: its distance to the nearest released row, and
how much of it the main directions of the released rows explain, of which there are no more than spots where rows are mixtures.

N released rows, G genes, S members, M non-members, L places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.statistics import Estimate
from c2lst_client.expression_plan import NEIGHBOURS, split_components
from c2lst_client.privacy.results import ExpressionResult, Recovery
from c2lst_client.privacy.roc import Draws, auc, binomial, measure_attack

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.floating]

PAIRS = 30  # of a place whose lines are met; a few more than ten lay an observed row open where any number does
MEETINGS = 4000  # of two lines, drawn per place where there are more
ROUNDS = 4  # of unmixing: few, as noise grows with each
LINES, MEANS, UNMIXED = "lines that meet", "means of a place", "unmixed means of a place"
NEAREST = "distance to the nearest released row"
DIRECTIONS = "share explained by the released rows' main directions"
CONTROL = "distance to the mean of the released rows"


def measure_expression(
    released: Rows, places: npt.NDArray[np.floating], members: Rows, non_members: Rows, drawn: Draws
) -> ExpressionResult:
    """Attack released rows.

    Args:
        released: N x G.
        places: N x 2, where the pairs lie; those at one place start from one spot.
        members: S x G, rows of training spots.
        non_members: M x G, rows of spots that nothing was made of.
        drawn: resamples of the S and M spots.
    """
    released, members, non_members = (np.asarray(rows, np.float64) for rows in (released, members, non_members))
    groups = _groups(places)
    means = np.stack([released[group].mean(axis=0) for group in groups])
    crossings = (line_meetings(released[group]) for group in groups)
    candidates: dict[str, Iterator[Floats]] = {
        LINES: crossings,
        MEANS: iter([means]),
        UNMIXED: iter([unmixed_means(means, released)]),
    }
    known = np.concatenate([members, non_members])
    scores = {NEAREST: -_nearest_distance(known, released), DIRECTIONS: explained_share(known, released, len(groups) - 1)}
    control = -np.linalg.norm(known - released.mean(axis=0), axis=1)
    reference = _auc(control, len(members), drawn)
    return ExpressionResult(
        recoveries=[recovery(name, computed, members, non_members) for name, computed in candidates.items()],
        attacks=[measure_attack(name, *_sides(score, len(members)), drawn) for name, score in scores.items()],
        control=measure_attack(CONTROL, *_sides(control, len(members)), drawn),
        excess=[_auc(score, len(members), drawn).minus(reference).interval(-1, 1) for score in scores.values()],
    )


def line_meetings(rows: Floats, seed: int = 0) -> Floats:
    """Return where lines through two of the rows come closest to each other, K x G; none for fewer than three rows.

    Args:
        rows: of one place, n x G.
        seed: of the choice where there are more than `PAIRS` rows or `MEETINGS` of lines.
    """
    generator = np.random.default_rng(seed)
    if len(rows) > PAIRS:
        rows = rows[generator.choice(len(rows), PAIRS, replace=False)]
    first, second = np.triu_indices(len(rows), 1)
    one, other = np.triu_indices(len(first), 1)
    if len(one) > MEETINGS:
        chosen = generator.choice(len(one), MEETINGS, replace=False)
        one, other = one[chosen], other[chosen]
    starts, ways = rows[first], rows[second] - rows[first]
    products, between = ways @ ways.T, starts @ ways.T  # of all lines at once: pairs of lines would be far more
    aa, ab, bb = products[one, one], products[one, other], products[other, other]
    to_one = between[one, one] - between[other, one]
    to_other = between[one, other] - between[other, other]
    determinant = aa * bb - ab**2
    crossing = determinant > 1e-9 * aa * bb  # others are parallel, or the same line
    safe = np.where(crossing, determinant, 1)
    along_one, along_other = (ab * to_other - bb * to_one) / safe, (aa * to_other - ab * to_one) / safe
    here = starts[one] + along_one[:, None] * ways[one]
    there = starts[other] + along_other[:, None] * ways[other]
    return np.asarray((here + there)[crossing] / 2)


def unmixed_means(means: Floats, released: Floats, neighbours: int = NEIGHBOURS) -> Floats:
    """Return the rows whose even mixtures with their nearest ones would give the `means`, L x G, as far as components tell.

    Args:
        means: over the released rows of each place.
        released: N x G.
        neighbours: that are mixed with each row.
    """
    from sklearn.neighbors import NearestNeighbors

    parts = split_components(released)
    mixed = (means - parts.mean) @ parts.directions.T  # L x D
    count = min(neighbours, len(means) - 1)
    scores: Floats = mixed
    for _ in range(ROUNDS if count else 0):
        nearest = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scores).kneighbors(return_distance=False)
        shares = np.eye(len(means)) / (count + 1)
        shares[np.arange(len(means))[:, None], nearest] = 1 / (count + 1)
        # a step towards scores that mix to what is seen (van Cittert 1931); solving at once would blow wrong guesses up
        scores = np.asarray(scores + mixed - shares @ scores)
    return parts.mean + scores @ parts.directions


def explained_share(known: Floats, released: Floats, directions: int) -> Floats:
    """Return which share of each known row's square deviation lies in the main directions of the released rows.

    Args:
        known: K x G.
        released: N x G.
        directions: how many; mixtures of S rows have S - 1.
    """
    mean = released.mean(axis=0)
    count = max(min(directions, released.shape[1] - 1), 1)
    _, vectors = np.linalg.eigh(np.cov(released.T, bias=True).reshape(released.shape[1], -1))
    main = vectors[:, ::-1][:, :count]
    deviation = known - mean
    return np.asarray(((deviation @ main) ** 2).sum(axis=1) / np.maximum((deviation**2).sum(axis=1), 1e-30))


def recovery(attack: str, computed: Iterator[Floats], members: Floats, held_out: Floats) -> Recovery:
    """Compare computed rows, some at a time, with the members' and, as the null, with held-out ones."""
    truth = np.concatenate([members, held_out])
    best = np.full(len(truth), np.inf)
    for some in computed:
        if len(some):
            best = np.minimum(best, _nearest_distance(truth, some))
    error = best / np.maximum(np.linalg.norm(truth, axis=1), 1e-30)
    of_members, of_held_out = error[: len(members)], error[len(members) :]
    close = int((of_members <= 0.05).sum())
    finite = np.where(np.isfinite(of_members), of_members, 1.0)  # nothing computed is as good as the mean of all spots, zero
    return Recovery(
        attack=attack,
        rows=len(members),
        within_1_percent=int((of_members <= 0.01).sum()),
        within_5_percent=close,
        share=binomial(close, len(members)),
        error=float(np.median(finite)),
        smallest_error=float(finite.min()),
        held_out=len(held_out),
        held_out_within_5_percent=int((of_held_out <= 0.05).sum()),
    )


def _groups(places: npt.NDArray[np.floating]) -> list[npt.NDArray[np.intp]]:
    """Return the pairs of each place."""
    _, place = np.unique(places, axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    return np.split(order, np.cumsum(np.bincount(place.ravel()))[:-1])


def _nearest_distance(rows: Floats, among: Floats) -> Floats:
    from sklearn.metrics import pairwise_distances_argmin_min

    nearest, _ = pairwise_distances_argmin_min(rows, among)
    return np.asarray(np.linalg.norm(rows - among[nearest], axis=1))  # anew: differences of large squares lose small ones


def _sides(scores: Floats, members: int) -> tuple[Floats, Floats]:
    return scores[:members], scores[members:]


def _auc(scores: Floats, members: int, drawn: Draws) -> Estimate:
    return auc(*_sides(scores, members), drawn)
