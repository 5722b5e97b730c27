"""Adaptation: optimiser steps per second and memory against training more of the network.

    python benchmarks/adaptation.py [--preset small] [--steps 6] [--repeats 3] [--json]

Cases: full fine-tuning (backbone and adapter), an adapter whose modulation reaches all blocks (gradients through all of
them), and ours: an adapter of mid block and decoder, in front of which nothing is kept for the backward pass.
"""

from __future__ import annotations

import argparse

import networks
import numpy as np
import paired
import torch

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.diffusion.trainer import Trainer

SPOTS = 64


def training(blocks: str, *, whole: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        preset = networks.preset_at(given.preset, given.image_px)
        model = networks.adapted(preset, blocks)
        if whole:
            model.backbone.requires_grad_(True)
        side = preset.backbone.image_px
        pixels = np.random.default_rng(0).integers(0, 256, (SPOTS, side, side, 3), dtype=np.uint8)
        batches = StoredBatches(pixels, np.arange(SPOTS), torch.randn(SPOTS, networks.GENES))
        config = preset.adaptation.model_copy(update={"accumulation": 1, "steps": 10**6, "micro_batch": given.batch})
        trainer = Trainer(model, batches, preset.diffusion, config, seed=0, device=best_device())

        def work() -> int:
            networks.advance(trainer, given.steps)
            return given.steps

        return work

    return prepare


CASES: dict[str, paired.Prepare] = {
    "full fine-tuning": training("decoder", whole=True),
    "adapter of all blocks": training("all"),
    "ours: adapter of mid block and decoder": training("decoder"),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--image-px", type=int)
    arguments.add_argument("--steps", type=int, default=6, help="steps of one timing")
    arguments.add_argument("--batch", type=int, default=32)
    paired.main("adaptation", CASES, "steps", arguments, __file__)
