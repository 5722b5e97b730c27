"""The study's part on privacy: what the adapter and its pairs give away of the spots that they were made from.

Measured on the division by a line, where spots that did not train lie apart from those that did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst_client.arms import SYNTHETIC
from c2lst_client.evaluate.results import Result
from c2lst_client.privacy.export_rule import Decision, decide
from c2lst_client.privacy.measure import measure_privacy
from c2lst_client.privacy.results import PrivacyResult
from c2lst_client.spots.pairs import PairSet
from c2lst_client.study.subject import Subject
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DisclosurePart(Result):
    """What was measured, and what the rule of export makes of it."""

    measured: PrivacyResult
    decision: Decision


def measure_disclosure(subject: Subject) -> tuple[DisclosurePart, dict[str, Figure]]:
    """Measure and draw the part.

    Raises:
        BadInput: too few spots lie away from the training spots.
    """
    from c2lst_client.study import figures_privacy as figures

    pairs = subject.pairs[SYNTHETIC]
    if not isinstance(pairs, PairSet):
        raise BadInput("The pairs of this division are not on disk; run the study again.")
    workshop = subject.workshop
    measured = measure_privacy(subject.adapted, pairs, progress=workshop.progress, on_step=workshop.interrupt_when_asked)
    membership = measured.membership
    others = [attack for attack in membership.attacks if attack.attack != membership.primary]
    drawn = {"membership": figures.roc_figure([membership.declared, *others], membership.control)}
    for result in measured.neighbours:
        drawn[f"nearest_{result.basis}"] = figures.distances_figure(result)
    closest = np.array(next(result.closest for result in measured.neighbours if result.basis == "embedding"))
    patches = subject.adapted.spots.patches
    drawn["closest"] = figures.closest_pairs_figure(
        pairs.patches(closest[:, 0]), patches(closest[:, 1]), patches(closest[:, 2])
    )
    return DisclosurePart(measured=measured, decision=decide(measured)), drawn
