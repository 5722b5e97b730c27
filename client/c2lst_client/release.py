"""A pulled release, verified once more and ready to build the backbone from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from c2lst_shared.diffusion.backbone import Backbone, build_backbone
from c2lst_shared.release.manifest import Manifest


@dataclass(frozen=True)
class LoadedRelease:
    """The manifest of a release and the tensors that it announces."""

    manifest: Manifest
    tensors: dict[str, torch.Tensor]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the weights file: what adapters name their backbone by."""
        return self.manifest.weights_sha256

    def backbone(self) -> Backbone:
        """Build the backbone with the release's weights, in evaluation mode."""
        backbone = build_backbone(self.manifest.backbone)
        backbone.load_state_dict(self.tensors, strict=True)
        return backbone.eval()
