"""One process of a training run: `torchrun ... training_process.py OUT`. Each writes its losses and weights to OUT."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.diffusion.workers import join_workers
from c2lst_shared.presets import BackboneConfig, DiffusionConfig, TrainingConfig

CONFIG = BackboneConfig(
    image_px=8, patch_um=22, unshuffle=2, block_channels=(8, 8), layers_per_block=1, norm_groups=4, attention_head_dim=8
)
TRAINING = TrainingConfig(steps=5, micro_batch=4, accumulation=2, learning_rate=1e-3, ema_decay=0.5)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with join_workers() as workers:
        pixels = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
        network = build_backbone(CONFIG, seed=0)
        batches = StoredBatches(pixels, np.arange(len(pixels)))
        trainer = Trainer(network, batches, DiffusionConfig(), TRAINING, seed=1, device=workers.device, workers=workers)
        trainer.train(lambda _: None, stop=lambda: workers.rank == workers.count - 1 and trainer.step == 4)
        first = next(network.parameters()).detach().flatten()[:8].tolist()
    found = {"losses": trainer.losses, "weights": first, "left": not torch.distributed.is_initialized()}
    out.joinpath(f"{workers.count}-{workers.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
