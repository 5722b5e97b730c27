"""HoVer-Net (Graham et al. 2019) trained on PanNuke as a `CellTyper`, from a weight file that the site has.

The network's code comes from tiatoolbox, which is no dependency of c2lst: today's version (2.1) asks for an older torch and
numpy than c2lst is tested with, and for a torchvision that fits that torch. Install it in an environment of its own, where its
demands come first. The weights on PanNuke are for non-commercial use, so they are neither shipped nor fetched: convert the
`.pth` that their owners publish to safetensors once (docs/encoders.md). This adapter was tried on an untrained network of
tiatoolbox 2.1's code; the published weights have not been seen. Without a GPU it takes seconds to tens of seconds a patch.

N = patches, P = side in px, T = side of what the network sees, O = side of what it answers for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.cell_types import PANNUKE_CLASSES, CellTyper, Counts
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_shared.errors import BadInput

INSTALL = "pip install tiatoolbox"
UM_PER_PX = 0.25  # that the network was trained at: 40 x
SEEN, ANSWERED = 256, 164  # px, T and O of its "fast" build, whose convolutions use no padding
BATCH = 8


def load_hovernet(weights: str | Path) -> CellTyper:
    """Load HoVer-Net with the classes of PanNuke.

    Args:
        weights: a `.safetensors` file of tiatoolbox's `hovernet_fast-pannuke`.

    Raises:
        BadInput: tiatoolbox cannot be imported, the file is a pickle, or its weights are not the network's.
    """
    path = Path(weights).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        raise BadInput(f"{path.name} is no .safetensors file; convert HoVer-Net's weights as docs/encoders.md shows.")
    try:
        from tiatoolbox.models.architecture.hovernet import HoVerNet
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch fails with the second
        raise BadInput(
            f"HoVer-Net needs tiatoolbox, which cannot be imported ({error}); in an environment of its own run: {INSTALL}"
        ) from error
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = HoVerNet(num_types=len(PANNUKE_CLASSES), mode="fast")
    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise BadInput(f"{path.name} holds no weights of HoVer-Net on PanNuke ({str(error).splitlines()[0]}).") from error
    return HoverNetTyper(network, name=f"HoVer-Net PanNuke {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}")


class HoverNetTyper:
    """Counts nuclei with a network of tiatoolbox's class `HoVerNet`."""

    def __init__(self, network: Any, name: str) -> None:
        from c2lst_shared.diffusion.hardware import best_device

        self.name = name
        self._device = best_device()
        self._network = network.eval().requires_grad_(False).to(self._device)

    def __call__(self, patches: Pixels, um_per_px: float) -> Counts:
        """Count the nuclei of each class, N x 6."""
        return np.stack([self._count(patch, um_per_px) for patch in patches])

    def _count(self, patch: Pixels, um_per_px: float) -> npt.NDArray[np.int64]:
        from PIL import Image

        side = round(len(patch) * um_per_px / UM_PER_PX)
        large = np.asarray(Image.fromarray(patch).resize((side, side), Image.Resampling.BICUBIC))
        nuclear, offsets, types = self._maps(large)
        instances = self._network._proc_np_hv(nuclear, offsets)  # the one step of its method that has no public name
        return count_by_type(np.asarray(instances), types)

    def _maps(self, image: Pixels) -> tuple[npt.NDArray[np.float32], ...]:
        """Return for each pixel whether it is nucleus (0 to 1), its offsets to the centre, and its type, tile by tile."""
        side = len(image)
        tiles = -(-side // ANSWERED)
        margin = (SEEN - ANSWERED) // 2
        padded = np.pad(image, ((margin, margin + tiles * ANSWERED - side),) * 2 + ((0, 0),), mode="symmetric")
        corners = [(y, x) for y in range(0, side, ANSWERED) for x in range(0, side, ANSWERED)]
        seen = np.stack([padded[y : y + SEEN, x : x + SEEN] for y, x in corners])
        whole = np.zeros((tiles * ANSWERED, tiles * ANSWERED, 4), np.float32)
        for start in range(0, len(seen), BATCH):
            answers = self._infer(seen[start : start + BATCH])
            for (y, x), answer in zip(corners[start : start + BATCH], answers, strict=True):
                whole[y : y + ANSWERED, x : x + ANSWERED] = answer
        whole = whole[:side, :side]
        return whole[..., :1], whole[..., 1:3], whole[..., 3]

    def _infer(self, images: Pixels) -> npt.NDArray[np.float32]:
        """[B, T, T, 3] -> [B, O, O, 4]: nuclear, two offsets, type."""
        import torch

        with torch.inference_mode():
            colours = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float().contiguous()  # it divides by 255
            found = self._network(colours)
            kind = found["tp"].argmax(dim=1, keepdim=True).float()
            maps = torch.cat([found["np"].softmax(dim=1)[:, 1:], found["hv"], kind], dim=1)
            return np.asarray(maps.permute(0, 2, 3, 1).cpu().numpy())


def count_by_type(instances: npt.NDArray[np.integer], types: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Count nuclei of each class: a nucleus is of the class that most of its named pixels have.

    A nucleus on the upper or left edge is left out, because the neighbouring patch counts it (composition.py).

    Args:
        instances: P x P, which nucleus a pixel belongs to; 0 is none.
        types: P x P, class of each pixel; 0 where it has no name.
    """
    classes = len(PANNUKE_CLASSES)
    votes = np.bincount(
        instances.ravel().astype(np.int64) * classes + types.ravel().astype(np.int64),
        minlength=(int(instances.max()) + 1) * classes,
    ).reshape(-1, classes)
    present = np.asarray(votes.any(axis=1))
    present[0] = False
    present[np.unique(np.concatenate([instances[0], instances[:, 0]]))] = False
    named = votes[:, 1:]
    chosen = np.where(named.any(axis=1), named.argmax(axis=1) + 1, 0)
    return np.bincount(chosen[present], minlength=classes).astype(np.int64)
