"""What a differentially private adaptation costs: the noise for an epsilon, and the epsilon that a training spends.

The accounting is that of Opacus (Renyi differential privacy, Mironov 2017, with Poisson sampling); nothing else of it is used.
"""

from __future__ import annotations

import math
import warnings
from typing import Annotated

from pydantic import Field

from c2lst_client.spots.records import Record
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import TrainingConfig

NOTE = (
    "Epsilon holds for one spot, not for a patient: all spots of a slide come from one patient, who is covered by no such "
    "number. It covers the adapter's weights, not the panel's means and spreads, nor the expression of synthetic pairs."
)
# Below nearly every spot's gradient, so that all weigh alike; AdamW does not mind the scale of gradients (automatic clipping,
# Bu et al. 2023).
CLIP_NORM = 0.01
NEEDS = "Differential privacy needs opacus; install it with `pip install 'c2lst[client,dp]'`."


class DpTarget(Record):
    """What the user asks for."""

    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)]


class DpBudget(Record):
    """What a training spends, and how."""

    epsilon: float  # spent by all steps together, at most what was asked for
    delta: float
    noise_multiplier: float
    sample_rate: float
    clip_norm: float
    steps: int
    note: str = NOTE


def plan_budget(target: DpTarget, spots: int, training: TrainingConfig) -> DpBudget:
    """Find the least noise with which `training` on that many spots spends no more than `target`.

    Raises:
        BadInput: opacus is missing, delta is too large for so few spots, or no amount of noise is enough.
    """
    if target.delta * spots >= 1:
        raise BadInput(
            f"With {spots} training spots a delta of {target.delta:g} would allow one of them to be laid open; "
            f"give --dp-delta below {1 / spots:.2g}, usually a tenth of that."
        )
    try:
        from opacus.accountants import create_accountant
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError:
        raise BadInput(NEEDS) from None
    rate = min(training.micro_batch * training.accumulation / spots, 1.0)
    with warnings.catch_warnings():  # an order of the divergence at the end of its range gives a looser bound, not a wrong one
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        try:
            noise = get_noise_multiplier(
                target_epsilon=target.epsilon,
                target_delta=target.delta,
                sample_rate=rate,
                steps=training.steps,
                accountant="rdp",
            )
        except ValueError:
            raise BadInput(
                f"No noise brings {training.steps} steps down to epsilon {target.epsilon:g}; give a larger one."
            ) from None
        accountant = create_accountant("rdp")
        accountant.history = [(noise, rate, training.steps)]
        spent = float(accountant.get_epsilon(target.delta))
    if not math.isfinite(spent):
        raise BadInput(f"Epsilon {target.epsilon:g} cannot be accounted for; give another one.")
    return DpBudget(
        epsilon=spent,
        delta=target.delta,
        noise_multiplier=float(noise),
        sample_rate=rate,
        clip_norm=CLIP_NORM,
        steps=training.steps,
    )


def sentence(budget: DpBudget) -> str:
    """Say what was spent, and what it does not cover."""
    return f"Trained with differential privacy: epsilon {budget.epsilon:.2f} at delta {budget.delta:g} per spot. {budget.note}"
