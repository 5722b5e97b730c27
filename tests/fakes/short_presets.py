"""The presets under their own names, so small that everything that trains or draws is a matter of seconds.

What differs between them differs here too (a corpus for `small` does not do for `paper`). `fakes/at_start` brings them into
every process below a shell, however it is started.
"""

from __future__ import annotations

from c2lst_shared.presets import PRESETS, AdapterConfig, BackboneConfig, PredictorConfig, Preset, SamplingConfig, TrainingConfig

_TRAINING = TrainingConfig(steps=4, micro_batch=4, learning_rate=1e-3, checkpoint_every=2, condition_dropout=0.1)


def _short(preset: Preset) -> Preset:
    backbone = BackboneConfig(
        image_px=preset.backbone.image_px // 4,
        patch_um=preset.backbone.patch_um,
        unshuffle=2,
        block_channels=(8, 16),
        layers_per_block=1,
        norm_groups=4,
        attention_head_dim=8,
    )
    changes = {
        "backbone": backbone,
        "pretraining": _TRAINING.model_copy(update={"condition_dropout": 0.0}),
        "adapter": AdapterConfig(hidden_dim=4),
        "adaptation": _TRAINING,
        "sampling": SamplingConfig(steps=2, batch=64),
        "predictor": PredictorConfig(steps=2, batch=8, seeds=1, ratios=(1, 2)),
        "genes": 10,
    }
    return preset.model_copy(update=changes)


SHORT = {name: _short(preset) for name, preset in PRESETS.items()}
