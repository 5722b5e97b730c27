"""What the diffusion core's choices are worth, as ratios within one run: `python benchmarks/core.py [--preset small] [--json]`.

Each row times two ways of doing the same thing, in turn, several times, and prints the median of the pairwise ratios: absolute
times depend on the machine and on what else it does, ratios much less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch

from c2lst_shared.diffusion import trainer as training
from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import Backbone, build_backbone
from c2lst_shared.diffusion.film import AdaptedBackbone, build_adapter
from c2lst_shared.diffusion.hardware import best_device
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.presets import Preset, get_preset

GENES = 250


def ratio(name: str, ours: Callable[[], object], other: Callable[[], object], repeats: int) -> dict[str, object]:
    """Time `other` over `ours` pair by pair; above 1 means that ours is faster."""
    ours(), other()  # warm-up
    times = [(seconds(ours), seconds(other)) for _ in range(repeats)]
    ratios = [slow / fast for fast, slow in times]
    return {
        "what": name,
        "seconds": statistics.median(fast for fast, _ in times),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def seconds(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def adapted(preset: Preset, backbone: Backbone, blocks: str) -> AdaptedBackbone:
    adapter = build_adapter(
        backbone,
        condition_dim=GENES,
        hidden_dim=preset.adapter.hidden_dim,
        blocks=blocks,
        backbone_fingerprint="benchmark",
        panel_fingerprint="benchmark",
        seed=0,
    )
    return AdaptedBackbone(backbone, adapter, backbone_fingerprint="benchmark")


def step_of(preset: Preset, network: torch.nn.Module, *, condition: bool) -> Callable[[], object]:
    """One optimiser step of one micro-batch."""
    side = preset.backbone.image_px
    pixels = np.random.default_rng(0).integers(0, 256, (256, side, side, 3), dtype=np.uint8)
    vectors = torch.randn(256, GENES) if condition else None
    config = (preset.adaptation if condition else preset.pretraining).model_copy(update={"accumulation": 1})
    run = Trainer(
        network, StoredBatches(pixels, np.arange(256), vectors), preset.diffusion, config, seed=0, device=best_device()
    )
    return run._one_step


def without_autocast(step: Callable[[], object]) -> Callable[[], object]:
    def slow() -> None:
        kept, training.autocast = training.autocast, lambda device: nullcontext()
        try:
            step()
        finally:
            training.autocast = kept

    return slow


def guided_pair(preset: Preset) -> tuple[Callable[[], object], Callable[[], object]]:
    """One guided sampler step with the encoder shared between the branches, and as two whole passes."""
    device = best_device()
    model = adapted(preset, build_backbone(preset.backbone, seed=0), "decoder").to(device)
    side, batch = preset.backbone.image_px, preset.sampling.batch
    x, t = torch.randn(batch, 3, side, side, device=device), torch.full((batch,), 500, device=device)
    modulations, null = model.adapter(torch.randn(batch, GENES, device=device)), model.adapter.unconditional()

    @torch.inference_mode()
    def shared() -> None:
        with training.autocast(device):
            model.guided(x, t, modulations, null, 3.0)

    @torch.inference_mode()
    def twice() -> None:
        with training.autocast(device):
            model.guided(x, t, modulations, null, 1.0)
            model.guided(x, t, modulations, null, 0.0)

    return shared, twice


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--preset", default="small")
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    preset = get_preset(given.preset)
    pretrain = step_of(preset, build_backbone(preset.backbone, seed=0), condition=False)
    decoder = step_of(preset, adapted(preset, build_backbone(preset.backbone, seed=0), "decoder"), condition=True)
    everything = step_of(preset, adapted(preset, build_backbone(preset.backbone, seed=0), "all"), condition=True)
    rows = [
        ratio("pretraining step: bf16 against float32", pretrain, without_autocast(pretrain), given.repeats),
        ratio("adaptation step: decoder blocks against all blocks", decoder, everything, given.repeats),
        ratio("adaptation step (decoder) against full training step", decoder, pretrain, given.repeats),
        ratio("guided sampler step: shared encoder against two passes", *guided_pair(preset), given.repeats),
    ]
    if given.json:
        print(json.dumps({"preset": preset.name, "device": str(best_device()), "rows": rows}, indent=1))
        return
    print(f"preset {preset.name}, {best_device()}, {torch.get_num_threads()} threads, median of {given.repeats} pairs")
    for row in rows:
        print(f"{row['what']:<56} {row['ratio']:5.2f}x  [{row['lowest']:.2f}, {row['highest']:.2f}]  {row['seconds']:.3f} s")


if __name__ == "__main__":
    main()
