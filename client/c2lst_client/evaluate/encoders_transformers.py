"""Encoders in the layout of transformers: `config.json`, `model.safetensors` and often `preprocessor_config.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from c2lst_client.evaluate.embedding import IMAGENET_MEAN, IMAGENET_SD, SIDE
from c2lst_client.evaluate.encoder_parts import Network, Preparation
from c2lst_shared.errors import BadInput


def load_network(folder: Path, config: dict[str, Any]) -> Network:
    """Load the network of a folder: no code from the folder runs, nothing is unpickled, nothing is fetched.

    Raises:
        BadInput: transformers does not know the network, or the weights are not its weights.
    """
    if config.get("use_pretrained_backbone"):  # it would be fetched from a hub
        raise BadInput(f"The encoder in {folder} has a backbone whose weights are elsewhere; save it with all of its weights.")
    from transformers import AutoModel

    from c2lst_shared.diffusion.hardware import best_device

    try:
        network, report = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # every kind of fault in foreign files has its own class there
        raise BadInput(
            f"transformers cannot load the encoder in {folder} ({_first_line(error)}); check that the files are complete."
        ) from error
    missing = sorted(str(name) for name in report["missing_keys"])
    # A vision transformer published without its pooler would get a random one: its class token is taken instead.
    unpooled = bool(missing) and all(name.startswith("pooler.") for name in missing)
    if missing and not unpooled:
        raise BadInput(f"The weights in {folder} lack {missing[0]} and {len(missing) - 1} more; get the encoder's files again.")
    network = network.eval().requires_grad_(False).to(best_device())
    how = _pooling(network, unpooled)
    return Network(lambda images: _pooled(network, images, how), type(network).__name__, how)


def read_preparation(config: dict[str, Any], preprocessor: dict[str, Any], folder: Path) -> Preparation:
    """Return size and normalisation as `preprocessor_config.json` says, else the network's size and ImageNet's colours.

    Args:
        config: content of `config.json`.
        preprocessor: content of `preprocessor_config.json`; empty when there is none.
        folder: for messages.

    Raises:
        BadInput: the files say it in a way that is not understood.
    """
    size = preprocessor.get("crop_size") or preprocessor.get("size") or _image_size(config) or SIDE
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    try:
        if not preprocessor.get("do_normalize", True):
            return Preparation(side=size, mean=(0.0, 0.0, 0.0), sd=(1.0, 1.0, 1.0))
        return Preparation(
            side=size,
            mean=preprocessor.get("image_mean") or IMAGENET_MEAN,
            sd=preprocessor.get("image_std") or IMAGENET_SD,
        )
    except ValueError as error:
        raise BadInput(
            f"Size, mean or standard deviation in the preprocessor_config.json of {folder} are not understood; "
            "delete that file to use ImageNet's."
        ) from error


def _image_size(config: dict[str, Any]) -> Any:
    """Return the size in `config.json`, which networks of two halves keep with the one for images."""
    own = config.get("image_size")
    return own if own is not None else config.get("vision_config", {}).get("image_size")


def _pooling(network: nn.Module, unpooled: bool) -> str:
    if hasattr(network, "get_image_features"):
        return "image half, projected"  # CLIP and its kin
    return "class token" if unpooled else "pooled output"


def _pooled(network: nn.Module, images: Tensor, how: str) -> Tensor:
    """[B, 3, side, side] -> [B, D]."""
    if how == "image half, projected":
        found = network.get_image_features(pixel_values=images)  # type: ignore[operator]
        return found if isinstance(found, Tensor) else found.pooler_output
    found = network(pixel_values=images)
    if how == "class token":
        return found.last_hidden_state[:, 0]
    pooled = getattr(found, "pooler_output", None)
    if pooled is not None:
        return torch.flatten(pooled, 1)  # convolutional networks keep two axes of length 1
    hidden: Tensor = found.last_hidden_state  # [B, L, D] tokens or [B, D, H, W] places
    return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
