"""Guided sampling: patches per second and memory against what people use today.

    python benchmarks/sampling.py [--preset paper] [--image-px 64] [--patches 2] [--repeats 3] [--json]

Cases: the peer's conditional U-Net and sampler (lucidrains' denoising-diffusion-pytorch, 64 channels, guided, 250 DDIM steps,
float32); a plain diffusers DDIM loop over our network with two passes a step; ours with the same 250 steps, with the fast
sampler, and with guidance only where the adapter learned, which is the default of tiny and small. The cost of one evaluation of
either network is printed in FLOPs.
"""

from __future__ import annotations

import argparse
import sys

import networks
import paired
import torch

from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.diffusion.sampler import conditional, generate, seeded_noise
from c2lst_shared.presets import SamplingConfig, get_preset

GUIDANCE = 3.0
REFERENCE_STEPS = 250
FAST = get_preset("small").sampling.model_copy(update={"guidance": GUIDANCE})  # 15 UniPC steps


def with_peer(given: argparse.Namespace) -> paired.Work:
    module = networks.peer()
    unet = module.Unet(dim=networks.PEER_CHANNELS, num_classes=10, dim_mults=(1, 2, 4, 8))
    diffusion = module.GaussianDiffusion(unet, image_size=side(given), timesteps=1000, sampling_timesteps=REFERENCE_STEPS).to(
        best_device()
    )
    classes = torch.zeros(given.patches, dtype=torch.long, device=best_device())

    def work() -> int:
        diffusion.sample(classes, cond_scale=GUIDANCE)
        return given.patches

    return warm(given, work, lambda: unet(torch.randn(1, 3, side(given), side(given)).to(best_device()), one(0), one(0)))


def with_diffusers(given: argparse.Namespace) -> paired.Work:
    """What the scheduler's documentation shows: a loop, two passes a step, float32."""
    from diffusers import DDIMScheduler

    preset = networks.preset_at(given.preset, given.image_px)
    model = networks.adapted(preset).to(best_device())
    condition, noise = inputs(given)

    @torch.inference_mode()
    def work() -> int:
        scheduler = DDIMScheduler(
            num_train_timesteps=preset.diffusion.train_steps,
            beta_schedule=preset.diffusion.beta_schedule,
            prediction_type=preset.diffusion.prediction,
            timestep_spacing="trailing",
        )
        scheduler.set_timesteps(REFERENCE_STEPS)
        x = noise
        kept, dropped = torch.ones(len(x), dtype=torch.bool), torch.zeros(len(x), dtype=torch.bool)
        for t in scheduler.timesteps:
            steps = t.expand(len(x)).to(x.device)
            given_genes = model(x, steps, condition, kept.to(x.device))
            without = model(x, steps, condition, dropped.to(x.device))
            x = scheduler.step(without + GUIDANCE * (given_genes - without), t, x).prev_sample
        return len(x)

    return warm(given, work, lambda: model(noise, torch.zeros(len(noise), device=noise.device), condition))


def with_ours(sampling: SamplingConfig) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        preset = networks.preset_at(given.preset, given.image_px)
        model = networks.adapted(preset).to(best_device())
        condition, noise = inputs(given)

        def work() -> int:
            generate(conditional(model, condition, preset.diffusion, sampling), noise, preset.diffusion, sampling)
            return len(noise)

        short = sampling.model_copy(update={"steps": 3})
        little = conditional(model, condition, preset.diffusion, short)
        return warm(given, work, lambda: generate(little, noise, preset.diffusion, short))

    return prepare


CASES: dict[str, paired.Prepare] = {
    "peer: 250 DDIM steps": with_peer,
    "diffusers loop: 250 DDIM steps": with_diffusers,
    "ours: 250 DDIM steps": with_ours(
        FAST.model_copy(update={"sampler": "ddim", "steps": REFERENCE_STEPS, "guided_from": 0.0})
    ),
    "ours: fast sampler": with_ours(FAST.model_copy(update={"guided_from": 0.0})),
    "ours: fast sampler, guided where learned": with_ours(FAST),
}


def side(given: argparse.Namespace) -> int:
    return networks.preset_at(given.preset, given.image_px).backbone.image_px


def inputs(given: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    condition = torch.randn(given.patches, networks.GENES, generator=torch.Generator().manual_seed(0))
    return condition.to(best_device()), seeded_noise(0, range(given.patches), side(given)).to(best_device())


def one(value: int) -> torch.Tensor:
    return torch.full((1,), value, device=best_device())


def warm(given: argparse.Namespace, work: paired.Work, little: object) -> paired.Work:
    """Let the first call, which only warms up, be a short one: whole samples take minutes."""
    calls = iter([True])

    def first_short() -> int:
        if next(calls, False):
            with torch.inference_mode():
                little()  # type: ignore[operator]
            return 0
        return work()

    return first_short


def costs(given: argparse.Namespace) -> str:
    pixels = side(given)
    x, t = torch.randn(1, 3, pixels, pixels), torch.zeros(1)
    ours = networks.flops(networks.adapted(networks.preset_at(given.preset, given.image_px)).backbone, x, t)
    unet = networks.peer().Unet(dim=networks.PEER_CHANNELS, num_classes=10, dim_mults=(1, 2, 4, 8))
    theirs = networks.flops(unet, x, t, torch.zeros(1, dtype=torch.long))
    return f"one evaluation of a {pixels} px patch: ours {ours / 1e9:.2f} GFLOP, the peer's {theirs / 1e9:.2f} GFLOP"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="paper")
    arguments.add_argument("--image-px", type=int, default=64)
    arguments.add_argument("--patches", type=int, default=2, help="patches of one batch")
    known, _ = arguments.parse_known_args()
    if "--case" not in sys.argv:
        print(costs(known), file=sys.stderr)
    paired.main("guided sampling", CASES, "patches", arguments, __file__)
