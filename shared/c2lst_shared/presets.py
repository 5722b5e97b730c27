"""Named model and training configurations: `tiny` (a CPU in minutes), `small` (a CPU in an hour), `paper` (a GPU).

A configuration is everything needed to rebuild what it describes. `BackboneConfig` and `DiffusionConfig` travel in the
release manifest, `AdapterConfig` with the adapter. Nothing here imports torch, so that every `--help` is quick.

Sources: C2L-ST for the `paper` figures (64 channels, four scales x(1,2,4,8), 1000 steps, noise prediction, min-SNR gamma 5,
AdamW, EMA 0.999, batch 256 as micro-batch x 4, 200 k steps; adaptation 10 k steps of 32 x 8, warm-up over 3 %). Image size
and learning rates are not legible in our copy of the paper: `paper` uses 128 px and 1e-4, the usual choice for DDPMs of
this size. `tiny` and `small` use v-prediction, with which short training already gives a working condition, and many
updates of few tiles: a CPU takes as long for 8 tiles as for a quarter of 32, and four times the updates bring short training
much further (docs/results.md has both comparisons).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from c2lst_shared.errors import BadInput

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Config(BaseModel):
    """A frozen, closed configuration: an unknown key is an error, not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BackboneConfig(Config):
    """The unconditional U-Net: all that is needed to build an empty one that fits the release's weights."""

    image_px: Positive  # side of the square RGB patch
    patch_um: Annotated[float, Field(gt=0)]  # side of the tissue that a patch shows, in micrometres
    unshuffle: Literal[1, 2, 4] = 1  # pixel-unshuffle factor of the stem; the U-Net works on image_px / unshuffle
    block_channels: tuple[Positive, ...]
    layers_per_block: Positive
    norm_groups: Positive
    attention_head_dim: Positive

    @model_validator(mode="after")
    def _sizes_divide(self) -> BackboneConfig:
        smallest = self.unshuffle * 2 ** (len(self.block_channels) - 1)
        if self.image_px % smallest:
            raise ValueError(f"image_px {self.image_px} is not a multiple of {smallest}")
        if any(channels % self.norm_groups for channels in self.block_channels):
            raise ValueError(f"norm_groups {self.norm_groups} does not divide block_channels {self.block_channels}")
        return self


class DiffusionConfig(Config):
    """The forward process and what the network predicts."""

    train_steps: Positive = 1000
    beta_schedule: Literal["linear", "squaredcos_cap_v2"] = "squaredcos_cap_v2"
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    snr_gamma: Annotated[float, Field(gt=0)] = 5.0  # min-SNR weighting, Hang et al. 2023, section 3.4


class TrainingConfig(Config):
    """One run of the trainer, for either stage."""

    steps: Positive
    micro_batch: Positive
    accumulation: Positive = 1
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999  # of AdamW: decay of the squared gradients' average
    warmup_fraction: Fraction = 0.03
    decay_fraction: Fraction = 0.0  # the last part of the run over which the rate falls linearly to zero
    ema_decay: Fraction = 0.999
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    condition_dropout: Fraction = 0.0
    # Where a condition is learned: time steps below this share of the schedule are left out, as their noisy patches show
    # already what the condition says; and with `uniform` all others count alike, where min-SNR favours those of little noise.
    noise_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weighting: Literal["min_snr", "uniform"] = "min_snr"
    checkpoint_every: Positive = 250
    sample_every: Positive = 500


class AdapterConfig(Config):
    """Projection and FiLM heads; `condition_dim` is known only when the panel is."""

    blocks: Literal["decoder", "all"] = "decoder"  # `decoder` = mid + decoder: the encoder runs once for both guidance branches
    hidden_dim: Positive = 128


class SamplingConfig(Config):
    """How patches are generated."""

    sampler: Literal["ddim", "dpm++", "unipc"] = "unipc"
    steps: Positive = 15
    guidance: Annotated[float, Field(ge=0, le=20)] = 3.0
    # Time steps below this share of the schedule take the conditional pass alone (Kynkäänniemi et al. 2024): half the cost, and
    # an adapter that was trained with `noise_from` never learned what guidance would amplify there.
    guided_from: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch: Positive = 32


class PredictorConfig(Config):
    """The gene expression predictor that is co-trained on real and synthetic pairs."""

    architecture: Literal["small_cnn", "resnet50"] = "small_cnn"
    steps: Positive  # optimiser steps, the same for every arm
    batch: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4  # 1e-3 learns a small site's spots by heart within 100 steps
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup_fraction: Fraction = 0.05
    seeds: Positive = 3
    ratios: tuple[Positive, ...] = (5, 10)  # synthetic pairs per real training spot


class Preset(Config):
    """Everything that a name like `small` stands for."""

    name: str
    backbone: BackboneConfig
    diffusion: DiffusionConfig
    pretraining: TrainingConfig
    adapter: AdapterConfig
    adaptation: TrainingConfig
    sampling: SamplingConfig
    predictor: PredictorConfig
    genes: Positive = 250  # genes in the panel: the most expressed ones

    def with_training_steps(self, steps: int | None) -> Preset:
        """The preset with another length of pretraining; itself when `steps` is None."""
        if steps is None:
            return self
        return self.model_copy(update={"pretraining": self.pretraining.model_copy(update={"steps": steps})})


PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        name="tiny",
        backbone=BackboneConfig(
            image_px=64,
            patch_um=176.0,
            unshuffle=2,
            block_channels=(32, 64, 128, 128),
            layers_per_block=1,
            norm_groups=16,
            attention_head_dim=32,
        ),
        diffusion=DiffusionConfig(),
        pretraining=TrainingConfig(
            steps=2000, micro_batch=8, learning_rate=1e-3, beta2=0.99, decay_fraction=0.3, ema_decay=0.995
        ),
        adapter=AdapterConfig(),
        adaptation=TrainingConfig(
            steps=700,
            micro_batch=16,
            learning_rate=1e-3,
            decay_fraction=0.3,
            ema_decay=0.99,
            condition_dropout=0.1,
            noise_from=0.4,
            weighting="uniform",
        ),
        sampling=SamplingConfig(guidance=1.5, guided_from=0.4),
        predictor=PredictorConfig(steps=900, ratios=(5,)),
        genes=50,
    ),
    "small": Preset(
        name="small",
        backbone=BackboneConfig(
            image_px=64,
            patch_um=176.0,
            unshuffle=2,
            block_channels=(64, 128, 192),
            layers_per_block=1,
            norm_groups=16,
            attention_head_dim=32,
        ),
        diffusion=DiffusionConfig(),
        pretraining=TrainingConfig(
            steps=9000, micro_batch=8, learning_rate=6e-4, beta2=0.99, decay_fraction=0.3, ema_decay=0.998, sample_every=1000
        ),
        adapter=AdapterConfig(),
        adaptation=TrainingConfig(
            steps=800,
            micro_batch=16,
            learning_rate=1e-3,
            decay_fraction=0.3,
            ema_decay=0.99,
            condition_dropout=0.1,
            noise_from=0.4,
            weighting="uniform",
        ),
        sampling=SamplingConfig(guidance=1.5, guided_from=0.4),
        predictor=PredictorConfig(steps=1500),
    ),
    "paper": Preset(
        name="paper",
        backbone=BackboneConfig(
            image_px=128,
            patch_um=155.0,
            block_channels=(64, 128, 256, 512),
            layers_per_block=2,
            norm_groups=32,
            attention_head_dim=64,
        ),
        diffusion=DiffusionConfig(beta_schedule="linear", prediction="epsilon"),
        pretraining=TrainingConfig(
            steps=200_000,
            micro_batch=64,
            accumulation=4,
            learning_rate=1e-4,
            checkpoint_every=1000,
            sample_every=5000,
        ),
        adapter=AdapterConfig(),
        adaptation=TrainingConfig(
            steps=10_000,
            micro_batch=32,
            accumulation=8,
            learning_rate=1e-4,
            condition_dropout=0.1,
            checkpoint_every=500,
            sample_every=2000,
        ),
        sampling=SamplingConfig(sampler="ddim", steps=250),
        predictor=PredictorConfig(architecture="resnet50", steps=5000, seeds=5, ratios=(1, 5, 10)),
    ),
}


def get_preset(name: str) -> Preset:
    """Return the preset called `name`.

    Raises:
        BadInput: no preset has that name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise BadInput(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.") from None
