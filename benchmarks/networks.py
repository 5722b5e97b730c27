"""Networks that several benchmarks time: ours with a fresh adapter, and the peer's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.film import AdaptedBackbone, build_adapter
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.presets import BackboneConfig, Preset, get_preset

GENES = 250
NAME = "benchmark"
PEER_CHANNELS = 64  # as in the paper's network


def preset_at(name: str, image_px: int | None) -> Preset:
    """The preset, with another size of patch if one is given."""
    preset = get_preset(name)
    if image_px is None:
        return preset
    backbone = BackboneConfig.model_validate(preset.backbone.model_dump() | {"image_px": image_px})
    return preset.model_copy(update={"backbone": backbone})


def adapted(preset: Preset, blocks: str = "decoder") -> AdaptedBackbone:
    """A backbone with fresh weights under an adapter whose heads are not zero, so that nothing is skipped."""
    backbone = build_backbone(preset.backbone, seed=0)
    adapter = build_adapter(
        backbone,
        condition_dim=GENES,
        hidden_dim=preset.adapter.hidden_dim,
        blocks=blocks,
        backbone_fingerprint=NAME,
        panel_fingerprint=NAME,
        seed=0,
    )
    torch.manual_seed(0)
    for head in adapter.heads:
        torch.nn.init.normal_(head.weight, std=0.01)
    return AdaptedBackbone(backbone, adapter, backbone_fingerprint=NAME)


def tiles(side: int, count: int = 2048) -> StoredBatches:
    """Noise in place of a corpus: the reading and turning cost the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return StoredBatches(pixels, np.arange(count))


def peer() -> ModuleType:
    """`denoising_diffusion_pytorch.classifier_free_guidance`, loaded by path: importing its package needs torchvision."""
    package = importlib.util.find_spec("denoising_diffusion_pytorch")
    if package is None or not package.submodule_search_locations:
        sys.exit("The peer is not installed: pip install --no-deps denoising-diffusion-pytorch einops")
    path = Path(package.submodule_search_locations[0]) / "classifier_free_guidance.py"
    spec = importlib.util.spec_from_file_location("peer_classifier_free_guidance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def advance(trainer: Trainer, steps: int) -> None:
    """Train for `steps` more steps."""
    wanted = trainer.step + steps
    trainer.train(lambda _: None, stop=lambda: trainer.step >= wanted)


def flops(forward: object, *arguments: object) -> int:
    """Floating point operations of one call, as torch counts them (2 for a multiply-add)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward(*arguments)  # type: ignore[operator]
    return int(counter.get_total_flops())
