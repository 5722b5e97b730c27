"""The adapter: a condition vector becomes FiLM scale and shift in a frozen backbone (Perez et al. 2018; C2L-ST, adaptation).

`expression [B, D] -> projection [B, H] -> one head per block [B, 2 C]`. A head's output is added to the output of that
block's `time_emb_proj`, which is exactly the scale and shift of the block's norm. Heads start at zero, so a fresh adapter
changes no bit of the backbone's output. A dropped condition uses a learned `null` vector instead of the projection: it
learns what the site's patches look like whatever their expression, so that guidance amplifies the expression alone.

The condition is any continuous vector per spot; nothing here knows of genes.

Shape letters: B batch, D condition, H hidden, C channels of a block, P patch side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from c2lst_shared.diffusion.backbone import Backbone, Encoded
from c2lst_shared.errors import BadArtefact


class FilmHead(nn.Linear):
    """One block's scale and shift from the hidden condition: [B, H] -> [B, 2 C]. Starts as the identity modulation."""

    def __init__(self, hidden_dim: int, channels: int) -> None:
        super().__init__(hidden_dim, 2 * channels)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Adapter(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers is untyped
    """Projection, null vector and FiLM heads; about 1-5 % of the backbone's parameters.

    `backbone_fingerprint` and `panel_fingerprint` name the weights and the panel that it was trained with: it works with no
    other (see `AdaptedBackbone` and `check_panel`).
    """

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        condition_dim: int,
        hidden_dim: int,
        block_channels: list[int],
        blocks: str = "decoder",
        backbone_fingerprint: str = "",
        panel_fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(condition_dim, hidden_dim)
        self.null = nn.Parameter(torch.zeros(hidden_dim))
        self.act = nn.SiLU()
        self.heads = nn.ModuleList(FilmHead(hidden_dim, channels) for channels in block_channels)

    def forward(self, condition: Tensor, keep: Tensor | None = None) -> list[Tensor]:
        """Map condition [B, D] to one modulation [B, 2 C] per block; rows where `keep` [B] is false get the null vector.

        Raises:
            ValueError: the condition has another width than the projection.
        """
        if condition.shape[-1] != self.projection.in_features:
            raise ValueError(f"condition has width {condition.shape[-1]}, the adapter takes {self.projection.in_features}")
        hidden = self.projection(condition)  # [B, H]
        if keep is not None:
            hidden = torch.where(keep[:, None], hidden, self.null)
        return self._modulate(hidden)

    def unconditional(self) -> list[Tensor]:
        """The modulations of a dropped condition, each [1, 2 C]."""
        return self._modulate(self.null[None])

    def check_panel(self, fingerprint: str) -> None:
        """Refuse a panel that is not the one of the training.

        Raises:
            BadArtefact: the fingerprints differ.
        """
        if self.config.panel_fingerprint != fingerprint:
            raise BadArtefact(
                f"This adapter was trained with gene panel {self.config.panel_fingerprint[:12]}, not {fingerprint[:12]}; "
                "run `c2lst-client adapt` for the new panel."
            )

    def _modulate(self, hidden: Tensor) -> list[Tensor]:
        hidden = self.act(hidden)
        return [head(hidden) for head in self.heads]


def modulated_blocks(backbone: Backbone, blocks: str) -> list[ResnetBlock2D]:
    """Residual blocks that an adapter modulates, in the order of the forward pass: mid + decoder, or all of them."""
    unet = backbone.unet
    parts = [unet.mid_block, *unet.up_blocks] if blocks == "decoder" else [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return [module for part in parts for module in part.modules() if isinstance(module, ResnetBlock2D)]


def build_adapter(
    backbone: Backbone,
    *,
    condition_dim: int,
    hidden_dim: int,
    blocks: str,
    backbone_fingerprint: str,
    panel_fingerprint: str,
    seed: int,
) -> Adapter:
    """Build a fresh adapter for `backbone`; it changes nothing until it is trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Adapter(
            condition_dim=condition_dim,
            hidden_dim=hidden_dim,
            block_channels=[block.out_channels for block in modulated_blocks(backbone, blocks)],
            blocks=blocks,
            backbone_fingerprint=backbone_fingerprint,
            panel_fingerprint=panel_fingerprint,
        )


class AdaptedBackbone(nn.Module):
    """A frozen backbone under an adapter. Only the adapter's parameters require gradients.

    The modulations reach the blocks through forward hooks, so that the backbone's modules and state dict stay untouched.
    """

    def __init__(self, backbone: Backbone, adapter: Adapter, *, backbone_fingerprint: str) -> None:
        super().__init__()
        trained_with = adapter.config.backbone_fingerprint
        if trained_with != backbone_fingerprint:
            raise BadArtefact(
                f"This adapter belongs to backbone {trained_with[:12]}, not {backbone_fingerprint[:12]}; "
                "use the release that it was trained with, or run `c2lst-client adapt` again."
            )
        self.backbone = backbone.requires_grad_(False).eval()
        self.adapter = adapter
        self._active: list[Tensor] | None = None
        targets = modulated_blocks(backbone, adapter.config.blocks)
        if [block.out_channels for block in targets] != list(adapter.config.block_channels):
            raise BadArtefact(
                "This adapter's heads do not fit the backbone's blocks; use the release that it was trained with."
            )
        for index, block in enumerate(targets):
            block.time_emb_proj.register_forward_hook(self._hook(index))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, keep: Tensor | None = None) -> Tensor:
        """Predict from x [B, 3, P, P], t [B] and condition [B, D]; rows where `keep` [B] is false are unconditional."""
        with self._modulated(self.adapter(condition, keep)):
            return self.backbone(x, t)

    def guided(self, x: Tensor, t: Tensor, modulations: list[Tensor], null: list[Tensor], scale: float) -> Tensor:
        """Classifier-free guidance (Ho and Salimans 2022): null + scale (conditional - null), [B, 3, P, P].

        Scale 1 is the conditional pass and costs one; scale 0 the unconditional one. With a decoder adapter the encoder, which
        no modulation reaches, runs once for both branches; that is exact.
        """
        if scale == 1:
            return self.modulated(x, t, modulations)
        if scale == 0:
            return self.modulated(x, t, null)
        if self.adapter.config.blocks == "decoder":
            encoded = self.backbone.encode(x, t)
            conditional = self._decode(encoded, modulations)
            unconditional = self._decode(encoded, null)
        else:
            conditional = self.modulated(x, t, modulations)
            unconditional = self.modulated(x, t, null)
        return unconditional + scale * (conditional - unconditional)

    def modulated(self, x: Tensor, t: Tensor, modulations: list[Tensor]) -> Tensor:
        """Predict from x [B, 3, P, P] and t [B] under modulations that the adapter gave."""
        with self._modulated(modulations):
            return self.backbone(x, t)

    def _decode(self, encoded: Encoded, modulations: list[Tensor]) -> Tensor:
        with self._modulated(modulations):
            return self.backbone.decode(encoded)

    @contextmanager
    def _modulated(self, modulations: list[Tensor]) -> Iterator[None]:
        self._active = modulations
        try:
            yield
        finally:
            self._active = None

    def _hook(self, index: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def add_modulation(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output if self._active is None else output + self._active[index]

        return add_modulation
