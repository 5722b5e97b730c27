"""What number format and memory layout cost a training step of the predictor.

    python benchmarks/predictor.py [--preset small] [--steps 60] [--repeats 3] [--json]

The first case is the product's own training. On a CPU every case has one thread, as divisions of a study side by side have.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext

import networks
import numpy as np
import paired
import torch
import torch.nn.functional as F

from c2lst_client.predictor import build_predictor, fit_predictor
from c2lst_client.predictor_data import ArrayPairs, Batch, Part, batches
from c2lst_shared.diffusion.hardware import autocast, best_device
from c2lst_shared.presets import PredictorConfig, get_preset

SPOTS = 65


def given_batches(given: argparse.Namespace, config: PredictorConfig) -> Iterator[Batch]:
    """Augmented batches of made-up spots of the preset's size."""
    torch.set_num_threads(1)
    side, generator = get_preset(given.preset).backbone.image_px, np.random.default_rng(0)
    pixels = generator.integers(0, 256, (SPOTS, side, side, 3), dtype=np.uint8)
    spots = ArrayPairs(pixels, generator.standard_normal((SPOTS, networks.GENES), dtype=np.float32))
    return batches([Part(spots, SPOTS, config.batch)], torch.Generator().manual_seed(0), augment=True)


def as_it_is(given: argparse.Namespace) -> paired.Work:
    config = get_preset(given.preset).predictor.model_copy(update={"steps": given.steps})
    drawn = given_batches(given, config)

    def work() -> int:
        fit_predictor(config, networks.GENES, drawn, seed=0, device=best_device())
        return given.steps

    return work


def plain_loop(layout: torch.memory_format, *, bf16: bool) -> paired.Prepare:
    """The same step, written out, started one operation at a time on a card too."""

    def prepare(given: argparse.Namespace) -> paired.Work:
        config, device = get_preset(given.preset).predictor, best_device()
        drawn = given_batches(given, config)
        network = build_predictor(config, networks.GENES).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, fused=True)

        def work() -> int:
            for _ in range(given.steps):
                images, expression = (each.to(device) for each in next(drawn))
                with autocast(device) if bf16 else nullcontext():
                    predicted = network(images.contiguous(memory_format=layout))
                F.l1_loss(predicted.float(), expression).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            return int(given.steps)

        return work

    return prepare


CASES: dict[str, paired.Prepare] = {
    "as it is": as_it_is,
    "float32, channels last": plain_loop(torch.channels_last, bf16=False),
    "float32": plain_loop(torch.contiguous_format, bf16=False),
    "bf16 where native, channels last": plain_loop(torch.channels_last, bf16=True),
    "bf16 where native": plain_loop(torch.contiguous_format, bf16=True),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--steps", type=int, default=60, help="steps of one timing")
    paired.main("predictor", CASES, "steps", arguments, __file__)
