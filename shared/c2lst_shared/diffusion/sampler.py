"""From noise to patches: DDIM (Song et al. 2021), DPM-Solver++ (Lu et al. 2022) and UniPC (Zhao et al. 2023), from diffusers.

All clip the predicted x_0 to [-1, 1] at every step, as guidance pushes it outside; all use `trailing` spacing, without which
the first step would not start from pure noise (Lin et al. 2024). DDIM with 250 steps is the reference; UniPC, of order 2 like
DPM-Solver++, needs the fewest steps for patches that are measured as good (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler
from torch import Tensor

from c2lst_shared.diffusion.backbone import Backbone
from c2lst_shared.diffusion.film import AdaptedBackbone
from c2lst_shared.diffusion.hardware import autocast
from c2lst_shared.presets import DiffusionConfig, SamplingConfig

Predict = Callable[[Tensor, int], Tensor]  # (x_t [B, 3, P, P], t) -> prediction [B, 3, P, P]


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
    scheduler.set_timesteps(sampling.steps)
    x = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:  # they stay on the CPU: a step that asked the card for its number would wait for it
        with autocast(x.device):
            prediction = predict(x, int(t))
        x = scheduler.step(prediction.float(), t, x).prev_sample
    return x.clamp(-1, 1)


def unconditional(backbone: Backbone) -> Predict:
    """The backbone on its own."""
    return lambda x, t: backbone(x, _repeated(t, x))


def conditional(adapted: AdaptedBackbone, condition: Tensor, diffusion: DiffusionConfig, sampling: SamplingConfig) -> Predict:
    """The adapted backbone under `condition` [B, D], with classifier-free guidance from `guided_from` upwards.

    The modulations depend on the condition alone, so they are computed once, not at every step.
    """
    with torch.inference_mode():
        modulations = adapted.adapter(condition)
        null = adapted.adapter.unconditional()
    first = sampling.guided_from * diffusion.train_steps
    return lambda x, t: adapted.guided(x, _repeated(t, x), modulations, null, sampling.guidance if t >= first else 1.0)


def to_uint8(x: Tensor) -> Tensor:
    """Patches in [-1, 1] [B, 3, P, P] as uint8 pixels [B, P, P, 3]."""
    return ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _repeated(t: int, x: Tensor) -> Tensor:
    """One time step for all patches of x, [B]."""
    return torch.full((len(x),), t, device=x.device)


def _scheduler(diffusion: DiffusionConfig, sampling: SamplingConfig) -> SchedulerMixin:
    common = {
        "num_train_timesteps": diffusion.train_steps,
        "beta_schedule": diffusion.beta_schedule,
        "prediction_type": diffusion.prediction,
        "timestep_spacing": "trailing",
    }
    # dynamic thresholding up to a value of 1 is DDIM's clip to [-1, 1]
    match sampling.sampler:
        case "ddim":
            return DDIMScheduler(**common)
        case "dpm++":
            return DPMSolverMultistepScheduler(**common, thresholding=True, sample_max_value=1.0)
        case "unipc":
            return UniPCMultistepScheduler(**common, thresholding=True, sample_max_value=1.0)
