"""Encoders in the layout of timm: weights in safetensors, and a JSON object that names the architecture.

The object is the `config.json` that timm writes, or one made by hand: `architecture` (timm's name), and where needed
`model_args` (what that function of timm takes) and `pretrained_cfg` with `mean`, `std` and `input_size`. timm is an optional
dependency; it is imported here and nowhere else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from c2lst_client.evaluate.embedding import IMAGENET_MEAN, IMAGENET_SD, SIDE
from c2lst_client.evaluate.encoder_parts import Network, Preparation
from c2lst_shared.errors import BadInput

INSTALL = "pip install 'c2lst[encoders]'"


def load_network(weights: Path, config: dict[str, Any]) -> Network:
    """Build the architecture and fill it with the weights; only a classifier's weights may be left over.

    Raises:
        BadInput: timm is not installed, does not know the architecture, or the weights are not its weights.
    """
    timm = _timm()
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from c2lst_shared.diffusion.hardware import best_device

    architecture = str(config.get("architecture", ""))
    if not timm.is_model(architecture):  # a name like `hf-hub:...` would be fetched
        raise BadInput(f"timm has no architecture {architecture!r}; correct it in the JSON beside {weights.name}.")
    try:
        network = timm.create_model(architecture, pretrained=False, **_arguments(timm, config))
        unfit = network.load_state_dict(load_file(weights), strict=False)
    except (RuntimeError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise BadInput(
            f"The weights in {weights.name} do not make a {architecture or 'network'} of timm ({str(error).splitlines()[0]}); "
            "check `architecture` and `model_args` in the JSON beside them."
        ) from error
    classifier = str(network.default_cfg.get("classifier") or "head")
    surplus = [name for name in unfit.unexpected_keys if not name.startswith(f"{classifier}.")]
    if unfit.missing_keys or surplus:
        raise BadInput(
            f"{weights.name} lacks {len(unfit.missing_keys)} of the tensors of {architecture} and has {len(surplus)} others "
            f"(such as {(unfit.missing_keys + surplus)[0]}); check `architecture` and `model_args` in the JSON beside it."
        )
    network = network.eval().requires_grad_(False).to(best_device())
    tokens = "model_args" in config and config["model_args"].get("global_pool") == ""
    how = "class token and mean of the patch tokens" if tokens else "pooled output"
    return Network(lambda images: _pooled(network, images), architecture, how)


def read_preparation(config: dict[str, Any], weights: Path) -> Preparation:
    """Return size and normalisation as the JSON says, else 224 px and ImageNet's.

    Raises:
        BadInput: the JSON says it in a way that is not understood.
    """
    # timm writes them below `pretrained_cfg`; older files have them at the top
    said = config | (config.get("pretrained_cfg") or {})
    try:
        return Preparation(
            side=said.get("input_size", (3, SIDE, SIDE))[-1],
            mean=said.get("mean", IMAGENET_MEAN),
            sd=said.get("std", IMAGENET_SD),
        )
    except (ValueError, TypeError, IndexError) as error:
        raise BadInput(
            f"`input_size`, `mean` or `std` in the JSON beside {weights.name} are not understood; "
            "give them as timm does, for example [3, 224, 224]."
        ) from error


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise BadInput(f"This encoder is built by timm, which is not installed; run: {INSTALL}") from None
    except RuntimeError as error:  # torchvision built for another torch fails so, while timm imports it
        raise BadInput(
            f"timm is installed but cannot be imported ({error}); install torch and torchvision together, from one index."
        ) from error
    return timm


def _arguments(timm: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the architecture, with the two that JSON can only name replaced by what they name."""
    arguments: dict[str, Any] = {"num_classes": 0} | dict(config.get("model_args") or {})
    for other_source in ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"):
        arguments.pop(other_source, None)  # weights come from the one file that was named
    named = {"SwiGLUPacked": timm.layers.SwiGLUPacked, "SiLU": nn.SiLU, "silu": nn.SiLU}
    return {
        key: named[value] if key in {"mlp_layer", "act_layer"} and value in named else value for key, value in arguments.items()
    }


def _pooled(network: Any, images: Tensor) -> Tensor:
    """[B, 3, side, side] -> [B, D]; a network that keeps its tokens gives the class token beside the mean of the others."""
    found: Tensor = network(images)
    if found.ndim == 2:
        return found
    return torch.cat([found[:, 0], found[:, network.num_prefix_tokens :].mean(dim=1)], dim=1)
