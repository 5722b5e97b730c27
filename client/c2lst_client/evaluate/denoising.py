"""How far is a site's tissue from what the backbone was trained on? Its denoising loss on the site's own patches.

The loss of pretraining (min-SNR weighted, `schedule.NoiseSchedule.loss`), so that it can be held against the validation loss
in the release's manifest; averaged over time steps spread evenly over the whole schedule, the same for every patch, so that
patches differ by what they show and by their noise alone. Nothing is trained and no gene is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.results import Interval, StepResult
from c2lst_client.evaluate.statistics import mean_per_spot, resample
from c2lst_shared.presets import DiffusionConfig
from c2lst_shared.progress import Progress

if TYPE_CHECKING:
    from c2lst_shared.diffusion.backbone import Backbone

LEVELS = 8  # time steps per patch
CHUNK = 32  # patches at a time


class DenoisingResult(StepResult):
    """The backbone's loss on the site's patches."""

    loss: Interval  # mean over spots; bootstrap over parts of the slide
    spots: int
    levels: int  # time steps per patch


def measure_denoising(
    losses: npt.NDArray[np.float64], *, centres: npt.NDArray[np.floating] | None = None, seed: int = 0
) -> DenoisingResult:
    """Return the mean of one loss per spot, S, with its interval; `centres` are S x 2 positions on the slide."""
    draws = resample(len(losses), centres=centres, seed=seed)
    return DenoisingResult(loss=mean_per_spot(losses, draws).interval(0), spots=len(losses), levels=LEVELS)


def denoising_losses(
    backbone: Backbone,
    patches: Callable[[Sequence[int]], npt.NDArray[np.uint8]],
    count: int,
    diffusion: DiffusionConfig,
    *,
    progress: Progress,
    on_chunk: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Return the loss of each of `count` patches, averaged over `LEVELS` time steps.

    Args:
        backbone: with the release's weights.
        patches: gives the patches of some rows, n x P x P x 3.
        diffusion: the release's.
        on_chunk: called after each chunk; what it raises stops the measuring.
        seed: of the noise.
    """
    import torch

    from c2lst_shared.diffusion.augment import to_unit
    from c2lst_shared.diffusion.hardware import autocast, best_device
    from c2lst_shared.diffusion.schedule import NoiseSchedule

    device = best_device()
    schedule, network = NoiseSchedule(diffusion, device), backbone.to(device).eval()
    levels = ((torch.arange(LEVELS) + 0.5) / LEVELS * diffusion.train_steps).long()
    found = np.zeros(count)
    progress.start("measuring the backbone", count)
    for start in range(0, count, CHUNK):
        rows = range(start, min(start + CHUNK, count))
        x = to_unit(patches(rows)).to(device)
        generator = torch.Generator().manual_seed((seed * 1_000_003 + start) % 2**63)
        for level in levels.tolist():
            noise = torch.randn(x.shape, generator=generator).to(device)
            t = torch.full((len(x),), level, device=device)
            with torch.no_grad(), autocast(device):
                prediction = network(schedule.add_noise(x, noise, t), t)
            found[rows.start : rows.stop] += schedule.loss(prediction, x, noise, t).double().cpu().numpy() / LEVELS
        progress.advance(len(rows))
        on_chunk()
    return found
