"""The backbone: an unconditional DDPM U-Net (Ho et al. 2020), `diffusers.UNet2DModel` behind a pixel-unshuffle stem.

Shape letters: B batch, P patch side in pixels, U unshuffle factor, C channels at some depth, E time embedding.

The forward pass is split at the bottom of the encoder, because an adapter that modulates only the mid block and the decoder
leaves the encoder's result the same for both branches of classifier-free guidance.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor, nn

from c2lst_shared.presets import BackboneConfig


class Encoded(NamedTuple):
    """What the encoder hands to the mid block and the decoder."""

    hidden: Tensor  # [B, C, P/U/2^k, P/U/2^k]
    skips: tuple[Tensor, ...]  # one per encoder residual, outermost first
    time: Tensor  # [B, E]


class Backbone(nn.Module):
    """Predicts noise or velocity (whichever the diffusion config says) from a noisy patch and its time step."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        depth = len(config.block_channels)
        self.unet = UNet2DModel(
            sample_size=config.image_px // config.unshuffle,
            in_channels=3 * config.unshuffle**2,
            out_channels=3 * config.unshuffle**2,
            block_out_channels=config.block_channels,
            layers_per_block=config.layers_per_block,
            # attention only at the innermost scale: further out it costs most and brings least
            down_block_types=("DownBlock2D",) * (depth - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (depth - 1),
            resnet_time_scale_shift="scale_shift",
            attention_head_dim=config.attention_head_dim,
            norm_num_groups=config.norm_groups,
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Map noisy patches x [B, 3, P, P] at steps t [B] to a prediction [B, 3, P, P]."""
        return self.decode(self.encode(x, t))

    def encode(self, x: Tensor, t: Tensor) -> Encoded:
        """Run the stem, the time embedding and the down blocks; the same calls as `UNet2DModel.forward`."""
        unet = self.unet
        time = unet.time_embedding(unet.time_proj(t).to(x.dtype))  # [B, E]
        hidden = unet.conv_in(F.pixel_unshuffle(x, self.config.unshuffle))  # [B, C, P/U, P/U]
        skips = (hidden,)
        for block in unet.down_blocks:
            hidden, block_skips = block(hidden_states=hidden, temb=time)
            skips += block_skips
        return Encoded(hidden, skips, time)

    def decode(self, encoded: Encoded) -> Tensor:
        """Run the mid block, the up blocks and the output layer: [B, 3, P, P]."""
        unet = self.unet
        hidden, skips, time = encoded
        hidden = unet.mid_block(hidden, time)
        for block in unet.up_blocks:
            count = len(block.resnets)
            hidden = block(hidden, skips[-count:], time)
            skips = skips[:-count]
        hidden = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))  # [B, 3 U^2, P/U, P/U]
        return F.pixel_shuffle(hidden, self.config.unshuffle)


def build_backbone(config: BackboneConfig, *, seed: int | None = None) -> Backbone:
    """Build a backbone with fresh weights; with a `seed` they are reproducible and the global generator is left alone."""
    if seed is None:
        return Backbone(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Backbone(config)
