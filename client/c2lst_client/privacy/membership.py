"""Membership inference on the adapter: does it denoise the spots that it was trained on better than others?

A diffusion model fits its training samples closer than others, so its loss on a sample is a score (Carlini et al. 2023,
"Extracting training data from diffusion models", section 5.1). But a plain loss mostly says how hard a patch is. The losses
are therefore compared with a reference on the same noise: difficulty calibration (Watson et al. 2022), which stands in for the
shadow models of the likelihood-ratio attack (Carlini et al. 2022), as the backbone is a model that certainly saw no spot.

- plain: minus the adapted model's loss.
- calibrated: the backbone's loss minus the adapted model's. Declared as the primary attack before anything was measured: all
  that the adapter knows of a spot is in this difference.
- own expression: the loss under another spot's expression minus that under the spot's own: does the adapter know the pair?

S spots, P side of the patch, D condition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.privacy.results import PLAIN, MembershipResult
from c2lst_client.privacy.roc import Draws, auc, measure_attack
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import DiffusionConfig
from c2lst_shared.progress import Progress

if TYPE_CHECKING:
    from c2lst_shared.diffusion.film import AdaptedBackbone

Floats = npt.NDArray[np.float64]

TIME_STEPS = 8  # evenly over those that the adapter was trained on; at the ends every patch is as easy, or as hard
NOISES = 4  # per time step; each shows the patch in the next of its eight rotations and reflections, as training does
BATCH = 32
CALIBRATED = "loss calibrated by the backbone's"
OWN_EXPRESSION = "loss under own against another spot's expression"
CONTROL = "loss of the backbone alone"


class Losses(NamedTuple):
    """Mean squared denoising error per spot over the same time steps and noises, each S."""

    adapted: Floats
    backbone: Floats
    shuffled: Floats  # of the adapted model, under another spot's expression

    def scores(self) -> dict[str, Floats]:
        """The attacks, high for members."""
        return {
            PLAIN: -self.adapted,
            CALIBRATED: self.backbone - self.adapted,
            OWN_EXPRESSION: self.shuffled - self.adapted,
        }

    def of(self, rows: slice) -> Losses:
        """Those of some spots."""
        return Losses(self.adapted[rows], self.backbone[rows], self.shuffled[rows])


def time_steps(diffusion: DiffusionConfig, noise_from: float = 0.0, count: int = TIME_STEPS) -> list[int]:
    """Return `count` time steps evenly over the part of the schedule that the adapter was trained on, its ends left out."""
    ends = np.linspace(noise_from * diffusion.train_steps, diffusion.train_steps, count + 1)
    return [int(step) for step in (ends[:-1] + ends[1:]) / 2]


def denoising_losses(
    adapted: AdaptedBackbone,
    diffusion: DiffusionConfig,
    patches: Pixels,
    expression: npt.NDArray[np.float32],
    *,
    steps: list[int],
    noises: int = NOISES,
    batch: int = BATCH,
    seed: int = 0,
    progress: Progress,
    on_step: Callable[[], None] = lambda: None,
) -> Losses:
    """Measure how well the adapted model and its backbone denoise each spot.

    Args:
        adapted: the backbone under its adapter.
        diffusion: its schedule.
        patches: S x P x P x 3, uint8.
        expression: S x D z-scores.
        steps: time steps.
        noises: per time step, the same for every spot and model.
        batch: spots at a time.
        seed: of noises, and of which other spot's expression is given.
        progress: gets a unit per spot and time step.
        on_step: called after each time step of a batch; it may raise `Interrupted`.

    Raises:
        BadInput: patches and expression are not of the same two or more spots.
    """
    import torch

    from c2lst_shared.diffusion.augment import to_unit, turned
    from c2lst_shared.diffusion.hardware import autocast
    from c2lst_shared.diffusion.schedule import NoiseSchedule

    if not len(patches) == len(expression) >= 2:
        raise BadInput(
            f"{len(patches)} patches and {len(expression)} rows of expression; give those of the same spots, two or more."
        )
    device = next(adapted.parameters()).device
    schedule = NoiseSchedule(diffusion, device)
    conditions = torch.from_numpy(np.stack([expression, expression[_another(len(expression), seed)]])).to(device)
    found = np.zeros((len(Losses._fields), len(patches)))
    progress.start("denoising spots", len(patches) * len(steps))
    with torch.inference_mode():
        for start in range(0, len(patches), batch):
            part = slice(start, start + batch)
            images = to_unit(patches[part]).to(device)  # [B, 3, P, P]
            own, other = conditions[:, part]
            for place, step in enumerate(steps):
                t = torch.full((len(images),), step, device=device)
                for number in range(place * noises, (place + 1) * noises):
                    generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63)
                    noise = torch.randn(images.shape[1:], generator=generator).to(device).expand_as(images)
                    seen = turned(images, torch.full((len(images),), number % 8))
                    x = schedule.add_noise(seen, noise, t)
                    with autocast(device):
                        predictions = adapted(x, t, own), adapted.backbone(x, t), adapted(x, t, other)
                    errors = torch.stack([schedule.error(one, seen, noise, t) for one in predictions])
                    found[:, part] += errors.double().cpu().numpy()
                progress.advance(len(images))
                on_step()
    return Losses(*(found / (len(steps) * noises)))


def measure_membership(
    losses: Losses, members: int, drawn: Draws, *, steps: list[int], noises: int = NOISES
) -> MembershipResult:
    """Attack with losses of which the first `members` are those of the training spots.

    Args:
        losses: of members and, after them, non-members.
        members: how many are members.
        drawn: resamples of both.
        steps: at which the losses were measured.
        noises: per step.
    """
    inside, outside = losses.of(slice(members)), losses.of(slice(members, None))
    sides = {name: (score, outside.scores()[name]) for name, score in inside.scores().items()}
    control = (-inside.backbone, -outside.backbone)
    return MembershipResult(
        attacks=[measure_attack(name, *scores, drawn) for name, scores in sides.items()],
        primary=CALIBRATED,
        control=measure_attack(CONTROL, *control, drawn),
        excess=auc(*sides[CALIBRATED], drawn).minus(auc(*control, drawn)).interval(-1, 1),
        time_steps=steps,
        noises=noises,
    )


def _another(spots: int, seed: int) -> npt.NDArray[np.intp]:
    """Return for each spot the row of another one; every row comes once."""
    order = np.random.default_rng(seed).permutation(spots)
    other = np.empty(spots, np.intp)
    other[order] = np.roll(order, 1)
    return other
