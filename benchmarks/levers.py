"""What a lever pays on this machine: a training step and a guided evaluation as they are, and with one thing changed.

    python benchmarks/levers.py train|sample [--preset small] [--image-px 64] [--batch 8] [--steps 20] [--repeats 3] [--json]

Units are GFLOP of the network, as torch counts them, so that the first case, a plain product of large matrices, shows how much
of the machine is used. A training step is counted as three forward passes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import networks
import paired
import torch
from torch import Tensor

from c2lst_shared.diffusion.cuda_graph import Graphed
from c2lst_shared.diffusion.film import AdaptedBackbone
from c2lst_shared.diffusion.hardware import autocast, best_device
from c2lst_shared.presets import Preset

SIZE = {"cuda": 8192, "cpu": 3072}  # side of the matrices whose product shows what the machine can do
ROUNDS = 5  # products of one timing
Lever = Callable[[AdaptedBackbone], None]


def nothing(model: AdaptedBackbone) -> None:
    """As it is."""


def channels_last(model: AdaptedBackbone) -> None:
    model.to(memory_format=cast("torch.memory_format", torch.channels_last))


def compiled(model: AdaptedBackbone) -> None:
    model.backbone.encode = torch.compile(model.backbone.encode)  # type: ignore[method-assign]
    model.backbone.decode = torch.compile(model.backbone.decode)  # type: ignore[method-assign]


def in_bf16(model: AdaptedBackbone) -> None:
    """Weights and activations in bf16 throughout, GroupNorm too, where autocast keeps it in float32."""
    model.to(torch.bfloat16)


def both(model: AdaptedBackbone) -> None:
    channels_last(model)
    compiled(model)


def training(lever: Lever, *, graphed: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        preset, model, x, t = ready(given, lever)
        backbone = model.backbone.train().requires_grad_(True)
        optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4, fused=True)
        cost = 3 * networks.flops(networks.adapted(preset).backbone, *one(preset))

        def add_gradients(x: Tensor, t: Tensor) -> Tensor:
            with autocast(x.device):
                loss = (backbone(x, t).float() - x).square().mean()
            loss.backward()
            return loss.detach()

        accumulate = Graphed(add_gradients, x.device, enabled=graphed)

        def work() -> int:
            for _ in range(given.steps):
                accumulate(x, t)
                optimizer.step()
                optimizer.zero_grad(set_to_none=not accumulate.replays)
            return round(given.steps * len(x) * cost / 1e9)

        return work

    return prepare


def sampling(lever: Lever, *, as_one_batch: bool = False) -> paired.Prepare:
    def prepare(given: argparse.Namespace) -> paired.Work:
        preset, model, x, t = ready(given, lever)
        condition = torch.randn(len(x), networks.GENES, device=x.device, dtype=x.dtype)
        fresh = networks.adapted(preset)
        cost = networks.flops(fresh.backbone, *one(preset)) + networks.flops(
            fresh.backbone.decode, fresh.backbone.encode(*one(preset))
        )
        with torch.inference_mode():
            kept, null = model.adapter(condition), model.adapter.unconditional()

        @torch.inference_mode()
        def work() -> int:
            for _ in range(given.steps):
                with autocast(x.device) if x.dtype == torch.float32 else nullcontext():
                    if as_one_batch:
                        in_one_batch(model, x, t, kept, null)
                    else:
                        model.guided(x, t, kept, null, 3.0)
            return round(given.steps * len(x) * cost / 1e9)

        return work

    return prepare


def in_one_batch(model: AdaptedBackbone, x: Tensor, t: Tensor, kept: list[Tensor], null: list[Tensor]) -> Tensor:
    """Both branches of the decoder as one batch of twice the size."""
    encoded = model.backbone.encode(x, t)
    doubled = type(encoded)(*(tuple(map(twice, part)) if isinstance(part, tuple) else twice(part) for part in encoded))
    modulations = [torch.cat([a, b.expand_as(a)]) for a, b in zip(kept, null, strict=True)]
    conditional, unconditional = model._decode(doubled, modulations).chunk(2)
    return unconditional + 3.0 * (conditional - unconditional)


def twice(part: Tensor) -> Tensor:
    return torch.cat([part, part])


def ready(given: argparse.Namespace, lever: Lever) -> tuple[Preset, AdaptedBackbone, Tensor, Tensor]:
    preset = networks.preset_at(given.preset, given.image_px)
    model = networks.adapted(preset).to(best_device())
    lever(model)
    side = preset.backbone.image_px
    x = torch.randn(given.batch, 3, side, side, device=best_device(), dtype=next(model.parameters()).dtype)
    return preset, model, x, torch.full((given.batch,), 500, device=best_device())


def one(preset: Preset) -> tuple[Tensor, Tensor]:
    side = preset.backbone.image_px
    return torch.randn(1, 3, side, side), torch.zeros(1)


def matrix_product(given: argparse.Namespace) -> paired.Work:
    """A product of large matrices, bf16 where that is native: about what the machine can do."""
    device = best_device()
    side = SIZE[device.type]
    a = torch.randn(side, side, device=device)

    def work() -> int:
        with autocast(device):
            for _ in range(ROUNDS):
                a @ a
        return round(2 * side**3 * ROUNDS / 1e9)

    return work


OF_TRAINING: dict[str, paired.Prepare] = {
    "a plain matrix product": matrix_product,
    "as it is": training(nothing),
    "CUDA graph": training(nothing, graphed=True),
    "CUDA graph, channels_last": training(channels_last, graphed=True),
    "channels_last": training(channels_last),
    "torch.compile": training(compiled),
    "torch.compile, channels_last": training(both),
}
OF_SAMPLING: dict[str, paired.Prepare] = {
    "a plain matrix product": matrix_product,
    "as it is": sampling(nothing),
    "branches as one batch": sampling(nothing, as_one_batch=True),
    "channels_last": sampling(channels_last),
    "bf16 throughout": sampling(in_bf16),
    "torch.compile": sampling(compiled),
    "torch.compile, channels_last": sampling(both),
}

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("what", choices=["train", "sample"])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--image-px", type=int)
    arguments.add_argument("--batch", type=int, default=8)
    arguments.add_argument("--steps", type=int, default=20, help="steps of one timing")
    paired.main("levers", OF_TRAINING if "train" in sys.argv else OF_SAMPLING, "GFLOP", arguments, __file__)
