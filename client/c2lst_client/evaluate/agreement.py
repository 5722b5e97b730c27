"""Do two lists of numbers agree, one number for each of C groups or genes? And how far do they by chance?

Here the groups are few or bound to each other, so it is the spots behind them that are drawn again (statistics.py): every draw
gives both lists anew. R draws.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval
from c2lst_client.evaluate.statistics import Estimate

Floats = npt.NDArray[np.float64]


def concordance_of_rows(x: Floats, y: Floats) -> Floats:
    """Return Lin's concordance (1989) of each row of `x` with that of `y`, both R x C; rows without any spread have 0."""
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(axis=1)
    spread = x.var(axis=1) + y.var(axis=1) + (mean_x - mean_y) ** 2
    found: Floats = np.divide(2 * covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-18)
    return found


def agreement(x: Floats, y: Floats, x_draws: Floats, y_draws: Floats, stretch: float) -> Interval:
    """Return the concordance of two lists (C each) with its interval from their draws (R x C each)."""
    value = float(concordance_of_rows(x[None], y[None])[0])
    return Estimate(value, concordance_of_rows(x_draws, y_draws), stretch).interval(-1.0, 1.0)


def range_of(values: Floats) -> Interval:
    """Return the mean of what chance gives, and the range that holds 95 % of it."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(value=float(values.mean()), low=float(low), high=float(high))
