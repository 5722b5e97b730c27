"""Local encoders are read, prepared and named as their files say; pickles and unfit files are refused; nothing is fetched."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from c2lst_client.evaluate.encoders import BUILT_IN, load_encoder
from c2lst_shared.errors import BadInput

PATCHES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an encoder reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path / "our-vit"
    ViTModel(ViTConfig(**small, image_size=32, patch_size=8)).save_pretrained(folder)
    return folder


def test_transformers_folder_gives_one_vector_per_patch_and_its_provenance(vit: Path) -> None:
    encode, name, provenance = load_encoder(vit)
    features = encode(PATCHES)
    assert (features.shape, features.dtype, name) == ((5, 16), np.float32, "our-vit")
    assert np.isfinite(features).all()
    np.testing.assert_allclose(encode(PATCHES[2:3])[0], features[2], atol=1e-5)
    assert provenance.weights_sha256 == hashlib.sha256((vit / "model.safetensors").read_bytes()).hexdigest()
    assert (provenance.framework, provenance.architecture, provenance.pooling) == ("transformers", "ViTModel", "pooled output")
    assert provenance.preparation.side == 32
    assert str(vit.parent) not in provenance.model_dump_json()


def test_normalisation_is_that_of_the_preprocessor(vit: Path) -> None:
    before = load_encoder(vit)
    said = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "size": {"height": 32, "width": 32}}
    (vit / "preprocessor_config.json").write_text(json.dumps(said))
    after = load_encoder(str(vit))
    assert after.provenance.preparation.mean == (0.5, 0.5, 0.5)
    assert after.provenance.preparation.sd == (0.25, 0.25, 0.25)
    assert np.abs(after.encode(PATCHES) - before.encode(PATCHES)).max() > 1e-3


def test_encoder_published_without_its_pooler_is_read_by_its_class_token(vit: Path) -> None:
    kept = {name: tensor for name, tensor in load_file(vit / "model.safetensors").items() if "pooler" not in name}
    save_file(kept, vit / "model.safetensors", metadata={"format": "pt"})
    first, second = load_encoder(vit), load_encoder(vit)
    assert first.provenance.pooling == "class token"
    np.testing.assert_array_equal(first.encode(PATCHES), second.encode(PATCHES))  # nothing random is left in it


def test_folder_that_lacks_weights_of_a_layer_is_refused(vit: Path) -> None:
    kept = {name: tensor for name, tensor in load_file(vit / "model.safetensors").items() if "layernorm" not in name.lower()}
    save_file(kept, vit / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"The weights in .* lack"):
        load_encoder(vit)


def test_convolutional_encoder_is_pooled(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(tmp_path)
    assert load_encoder(tmp_path).encode(PATCHES).shape == (5, 12)


def test_image_half_of_a_clip_is_used(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = CLIPConfig(
        text_config=small | {"vocab_size": 50}, vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=6
    )
    CLIPModel(config).save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert loaded.encode(PATCHES).shape == (5, 6)
    assert (loaded.provenance.preparation.side, loaded.provenance.pooling) == (32, "image half, projected")


def test_code_in_the_folder_does_not_run(vit: Path) -> None:
    config = json.loads((vit / "config.json").read_text())
    config |= {"model_type": "our_own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (vit / "config.json").write_text(json.dumps(config))
    (vit / "own.py").write_text(f"open({str(vit / 'ran')!r}, 'w')")
    with pytest.raises(BadInput, match="transformers cannot load"):
        load_encoder(vit)
    assert not (vit / "ran").exists()


def test_backbone_that_would_be_fetched_is_refused(vit: Path) -> None:
    (vit / "config.json").write_text(json.dumps({"model_type": "detr", "use_pretrained_backbone": True}))
    with pytest.raises(BadInput, match="backbone whose weights are elsewhere"):
        load_encoder(vit)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "uni.pt", "uni.pth"])
def test_pickles_are_refused_as_file_and_in_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    (tmp_path / "config.json").write_text("{}")
    for spec in (tmp_path / name, tmp_path):
        with pytest.raises(BadInput, match=f"{name} is a pickle, which can run code .*; convert it to model.safetensors"):
            load_encoder(spec)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "holds no model.safetensors"),
        ({"model.safetensors": b""}, "but no config.json"),
        ({"model.safetensors": b"", "config.json": b"[1]"}, "holds no JSON object"),
        ({"model.safetensors": b"", "config.json": b"{"}, "cannot be read as JSON"),
        ({"model.safetensors": b"", "config.json": b'{"model_type": "vit"}'}, "transformers cannot load"),
        (
            {"model.safetensors": b"", "config.json": b"{}", "preprocessor_config.json": b'{"size": "large"}'},
            "are not understood",
        ),
    ],
)
def test_unfit_folders_are_refused(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=says):
        load_encoder(tmp_path)


def test_what_is_no_encoder_is_refused() -> None:
    with pytest.raises(BadInput, match="'hub/uni' is no encoder; give 'built-in'"):
        load_encoder("hub/uni")


class _Tokens(torch.nn.Module):
    """Stands in for a network of timm: two prefix tokens and three of patches, each of four numbers."""

    num_prefix_tokens = 2
    default_cfg = {"classifier": "head"}  # noqa: RUF012

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(4))
        self.pooled = pooled

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.mean(dim=(1, 2, 3))[:, None, None] * torch.arange(5.0)[:, None] * self.scale
        return tokens[:, 0] if self.pooled else tokens


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The three names of timm that are used; what `create_model` was given is kept."""
    given: dict[str, object] = {}

    def create_model(architecture: str, **options: object) -> _Tokens:
        given.update(options, architecture=architecture)
        return _Tokens(pooled=options.get("global_pool") != "")

    fake = types.ModuleType("timm")
    fake.create_model, fake.is_model = create_model, lambda name: name == "vit_tiny"  # type: ignore[attr-defined]
    fake.layers = types.SimpleNamespace(SwiGLUPacked="the class SwiGLUPacked")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", fake)
    return given


def _timm_file(folder: Path, config: dict[str, object], **tensors: torch.Tensor) -> Path:
    path = folder / "virchow.safetensors"
    save_file(tensors or {"scale": torch.full((4,), 2.0), "head.weight": torch.ones(3)}, path)
    path.with_suffix(".json").write_text(json.dumps(config))
    return path


def test_timm_checkpoint_with_sidecar_joins_class_token_and_mean_of_patch_tokens(
    tmp_path: Path, timm: dict[str, object]
) -> None:
    arguments = {"global_pool": "", "mlp_layer": "SwiGLUPacked", "checkpoint_path": "evil.pth"}
    config = {"architecture": "vit_tiny", "model_args": arguments, "pretrained_cfg": {"input_size": [3, 28, 28]}}
    encode, name, provenance = load_encoder(_timm_file(tmp_path, config))
    features = encode(PATCHES)
    assert (name, provenance.framework, provenance.preparation.side, features.shape) == ("virchow", "timm", 28, (5, 8))
    assert provenance.pooling == "class token and mean of the patch tokens"
    np.testing.assert_allclose(features[:, :4], 0)
    assert np.abs(features[:, 4:]).min() > 0
    assert timm["mlp_layer"] == "the class SwiGLUPacked"
    assert timm["pretrained"] is False
    assert "checkpoint_path" not in timm


def test_folder_in_the_layout_of_timm_is_built_by_timm(tmp_path: Path, timm: dict[str, object]) -> None:
    save_file({"scale": torch.ones(4)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "vit_tiny", "num_classes": 0}')
    assert load_encoder(tmp_path).encode(PATCHES).shape == (5, 4)
    assert timm["architecture"] == "vit_tiny"


@pytest.mark.parametrize(
    ("config", "tensors", "says"),
    [
        ({"architecture": "hf-hub:somebody/model"}, {}, "timm has no architecture 'hf-hub:somebody/model'"),
        ({"architecture": "vit_tiny"}, {"other": torch.ones(1)}, "lacks 1 of the tensors of vit_tiny and has 1 others"),
        ({"architecture": "vit_tiny"}, {"scale": torch.ones(7)}, "do not make a vit_tiny of timm"),
        ({"architecture": "vit_tiny", "mean": "grey"}, {}, "are not understood"),
    ],
)
@pytest.mark.usefixtures("timm")
def test_timm_weights_that_do_not_fit_are_refused(
    tmp_path: Path, config: dict[str, object], tensors: dict[str, torch.Tensor], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        load_encoder(_timm_file(tmp_path, config, **tensors))


def test_missing_timm_gives_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match=r"not installed; run: pip install 'c2lst\[encoders\]'"):
        load_encoder(_timm_file(tmp_path, {"architecture": "vit_tiny"}))


def test_checkpoint_without_sidecar_is_refused(tmp_path: Path) -> None:
    path = _timm_file(tmp_path, {})
    path.with_suffix(".json").unlink()
    with pytest.raises(BadInput, match=r"write virchow\.json beside it"):
        load_encoder(path)


@pytest.mark.slow
def test_built_in_encoder_names_its_weights() -> None:
    encode, name, provenance = load_encoder(BUILT_IN)
    assert encode(PATCHES).shape == (5, 1280)
    assert (name, len(provenance.weights_sha256)) == ("EfficientNet-lite0", 64)
