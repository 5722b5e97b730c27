"""A release with a backbone of a few thousand weights, as a site has it after pulling and verifying."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from c2lst_client.release import LoadedRelease
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.presets import (
    AdapterConfig,
    BackboneConfig,
    DiffusionConfig,
    PredictorConfig,
    Preset,
    SamplingConfig,
    TrainingConfig,
)
from c2lst_shared.release.manifest import Manifest, Provenance, SiteDefaults, StainReference

BACKBONE = BackboneConfig(
    image_px=16, patch_um=176, unshuffle=2, block_channels=(8, 16), layers_per_block=1, norm_groups=4, attention_head_dim=8
)
TRAINING = TrainingConfig(steps=6, micro_batch=4, learning_rate=1e-2, condition_dropout=0.1, checkpoint_every=2)
TOY = Preset(
    name="toy",
    backbone=BACKBONE,
    diffusion=DiffusionConfig(),
    pretraining=TRAINING,
    adapter=AdapterConfig(hidden_dim=4),
    adaptation=TRAINING,
    sampling=SamplingConfig(steps=2, batch=8),
    predictor=PredictorConfig(steps=4, batch=4, seeds=2, ratios=(1, 2)),
    genes=6,
)
DEFAULTS = SiteDefaults(
    adapter=TOY.adapter, adaptation=TOY.adaptation, sampling=TOY.sampling, predictor=TOY.predictor, genes=TOY.genes
)


@functools.cache
def toy_release(seed: int = 0, number: int = 1) -> LoadedRelease:
    """Release `mob/NUMBER` with weights made from `seed`."""
    manifest = Manifest(
        organ="mob",
        number=number,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        preset="toy",
        backbone=BACKBONE,
        diffusion=DiffusionConfig(),
        stain=StainReference(method="macenko", matrix=((0.65, 0.70, 0.29), (0.09, 0.95, 0.28)), max_concentration=(1.5, 1.0)),
        defaults=DEFAULTS,
        weights_bytes=1,
        weights_sha256=f"{seed:064x}",
        tensors={},
        provenance=Provenance(images=1, tiles=1, training=TRAINING, steps_done=6, seed=seed, software={}),
        metrics={"validation_loss": 0.1},
    )
    return LoadedRelease(manifest, build_backbone(BACKBONE, seed=seed).state_dict())
