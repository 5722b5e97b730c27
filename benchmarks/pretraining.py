"""Central training: images per second against the peer's training step, at equal FLOPs, and what loading data takes.

    python benchmarks/pretraining.py [--preset small] [--image-px 64] [--steps 4] [--repeats 3] [--json]

Units are GFLOP of the forward pass, as torch counts them, so that networks of different cost can be compared. Cases: the
peer's U-Net and loss (denoising-diffusion-pytorch, 64 channels, AdamW) in float32 and under bf16 autocast, ours with and
without bf16, and ours without training: reading and turning tiles alone, in the same units as if it had trained on them.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext

import networks
import paired
import torch

from c2lst_shared.diffusion import trainer as training
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.hardware import autocast, best_device
from c2lst_shared.diffusion.trainer import Trainer


def with_peer(*, bf16: bool) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        module, device = networks.peer(), best_device()
        side = networks.preset_at(given.preset, given.image_px).backbone.image_px
        unet = module.Unet(dim=networks.PEER_CHANNELS, num_classes=1, dim_mults=(1, 2, 4, 8))
        cost = networks.flops(unet, torch.randn(1, 3, side, side), torch.zeros(1), torch.zeros(1, dtype=torch.long))
        diffusion = module.GaussianDiffusion(unet, image_size=side, timesteps=1000).to(device)
        optimizer = torch.optim.AdamW(diffusion.parameters(), lr=1e-4)
        batches, generator = networks.tiles(side), torch.Generator().manual_seed(0)

        def work() -> int:
            for _ in range(given.steps):
                images = batches(given.batch, generator).images.to(device)
                with autocast(device) if bf16 else nullcontext():
                    loss = diffusion((images + 1) / 2, classes=torch.zeros(given.batch, dtype=torch.long, device=device))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            return round(given.steps * given.batch * cost / 1e9)

        return work

    return prepare


def with_ours(*, bf16: bool, train: bool = True) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        preset = networks.preset_at(given.preset, given.image_px)
        side = preset.backbone.image_px
        backbone = build_backbone(preset.backbone, seed=0)
        cost = networks.flops(backbone, torch.randn(1, 3, side, side), torch.zeros(1))
        config = preset.pretraining.model_copy(update={"accumulation": 1, "steps": 10**6, "micro_batch": given.batch})
        batches = networks.tiles(side)
        if not bf16:
            training.autocast = lambda device: nullcontext()  # type: ignore[assignment, return-value]
        trainer = Trainer(backbone, batches, preset.diffusion, config, seed=0, device=best_device())

        def work() -> int:
            if train:
                networks.advance(trainer, given.steps)
            else:
                for step in range(given.steps):
                    batches(given.batch, torch.Generator().manual_seed(step))
            return round(given.steps * given.batch * cost / 1e9)

        return work

    return prepare


CASES: dict[str, paired.Prepare] = {
    "peer, float32": with_peer(bf16=False),
    "peer, bf16": with_peer(bf16=True),
    "ours, float32": with_ours(bf16=False),
    "ours, bf16 where native": with_ours(bf16=True),
    "ours, loading tiles alone": with_ours(bf16=True, train=False),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--image-px", type=int)
    arguments.add_argument("--steps", type=int, default=4, help="steps of one timing")
    arguments.add_argument("--batch", type=int, default=32)
    paired.main("central training", CASES, "GFLOP", arguments, __file__)
