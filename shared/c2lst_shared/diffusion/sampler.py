"""From noise to patches: DDIM (Song et al. 2021) and DPM-Solver++ order 2 (Lu et al. 2022), both from diffusers.

Both clip the predicted x_0 to [-1, 1] at every step, as guidance pushes it outside; both use `trailing` spacing, without
which the first step would not start from pure noise (Lin et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, SchedulerMixin
from torch import Tensor

from c2lst_shared.diffusion.backbone import Backbone
from c2lst_shared.diffusion.film import AdaptedBackbone
from c2lst_shared.diffusion.hardware import autocast
from c2lst_shared.presets import DiffusionConfig, SamplingConfig

Predict = Callable[[Tensor, Tensor], Tensor]  # (x_t [B, 3, P, P], t [B]) -> prediction [B, 3, P, P]


def seeded_noise(seed: int, indices: Sequence[int], image_px: int) -> Tensor:
    """Noise [B, 3, P, P] for the samples numbered `indices`: each depends on (seed, its index) only, not on the batch."""
    rows = []
    for index in indices:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
        rows.append(torch.randn(3, image_px, image_px, generator=generator))
    return torch.stack(rows)


@torch.inference_mode()
def generate(predict: Predict, noise: Tensor, diffusion: DiffusionConfig, sampling: SamplingConfig) -> Tensor:
    """Denoise `noise` [B, 3, P, P] into patches [B, 3, P, P] in [-1, 1]."""
    scheduler = _scheduler(diffusion, sampling)
    scheduler.set_timesteps(sampling.steps, device=noise.device)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        with autocast(x.device):
            prediction = predict(x, t.expand(len(x)))
        x = scheduler.step(prediction.float(), t, x).prev_sample
    return x.clamp(-1, 1)


def unconditional(backbone: Backbone) -> Predict:
    """The backbone on its own."""
    return backbone


def conditional(adapted: AdaptedBackbone, condition: Tensor, guidance: float) -> Predict:
    """The adapted backbone under `condition` [B, D] with classifier-free guidance.

    The modulations depend on the condition alone, so they are computed once, not at every step.
    """
    with torch.inference_mode():
        modulations = adapted.adapter(condition)
        null = adapted.adapter.unconditional()
    return lambda x, t: adapted.guided(x, t, modulations, null, guidance)


def to_uint8(x: Tensor) -> Tensor:
    """Patches in [-1, 1] [B, 3, P, P] as uint8 pixels [B, P, P, 3]."""
    return ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _scheduler(diffusion: DiffusionConfig, sampling: SamplingConfig) -> SchedulerMixin:
    if sampling.sampler == "ddim":
        return DDIMScheduler(
            num_train_timesteps=diffusion.train_steps,
            beta_schedule=diffusion.beta_schedule,
            prediction_type=diffusion.prediction,
            timestep_spacing="trailing",
        )
    return DPMSolverMultistepScheduler(
        num_train_timesteps=diffusion.train_steps,
        beta_schedule=diffusion.beta_schedule,
        prediction_type=diffusion.prediction,
        timestep_spacing="trailing",
        thresholding=True,  # with the default sample_max_value of 1 this is DDIM's clip to [-1, 1]
    )
