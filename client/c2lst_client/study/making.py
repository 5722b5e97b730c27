"""What one division of a study consists of before anything is measured: all that takes long."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.adapted import Adapted
from c2lst_client.predictor_data import Pairs
from c2lst_client.spots.pairs import PairSet
from c2lst_client.study.design import Division
from c2lst_client.study.workshop import Workshop
from c2lst_shared import journal


class MadeDivision(NamedTuple):
    """One division with its adapter, pairs and predictors."""

    adapted: Adapted
    pairs: dict[str, Pairs]  # under the names that recipes use
    predictions: dict[str, npt.NDArray[np.float32]]  # of each arm, by its label: K x T x G
    held_out: PairSet | None  # patches of the held-out spots; None where tissue is not looked at


def make_division(workshop: Workshop, division: Division) -> MadeDivision:
    """Make what a division needs, as far as it is not there.

    Raises:
        Interrupted: stopped; the same call goes on.
        C2lstError: training diverged.
    """
    adapted = workshop.adapted(division)
    pairs = workshop.pairs(division, adapted)
    arms, seeds = workshop.design.arms(division), range(workshop.design.predictor.seeds)
    with journal.recorded(f"co-train, {division.label}", workshop.folder, belongs_to=workshop.key(division)):
        predictions = workshop.trainer(adapted, pairs).run(arms, seeds)
    held_out = workshop.held_out(division, adapted) if division.seed == 0 else None
    return MadeDivision(adapted, pairs, predictions, held_out)
