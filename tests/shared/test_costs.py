"""What work costs, in counts: evaluations, memory kept for the backward pass, tiles read. Clocks are for benchmarks."""

import numpy as np
import pytest
import torch

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import Backbone, build_backbone
from c2lst_shared.diffusion.film import AdaptedBackbone, Adapter, build_adapter
from c2lst_shared.diffusion.sampler import conditional, generate, seeded_noise
from c2lst_shared.presets import BackboneConfig, DiffusionConfig, SamplingConfig

CONFIG = BackboneConfig(
    image_px=16, patch_um=22, unshuffle=2, block_channels=(8, 16), layers_per_block=1, norm_groups=4, attention_head_dim=8
)


def adapted(blocks="decoder"):
    backbone = build_backbone(CONFIG, seed=0)
    adapter = build_adapter(
        backbone,
        condition_dim=3,
        hidden_dim=4,
        blocks=blocks,
        backbone_fingerprint="b",
        panel_fingerprint="p",
        seed=0,
    )
    return AdaptedBackbone(backbone, adapter, backbone_fingerprint="b")


def count_calls(monkeypatch, owner, name):
    calls = []
    original = getattr(owner, name)

    def counting(self, *arguments):
        calls.append(len(arguments[0]) if torch.is_tensor(arguments[0]) else None)
        return original(self, *arguments)

    monkeypatch.setattr(owner, name, counting)
    return calls


@pytest.mark.parametrize(
    ("blocks", "guidance", "guided_from", "encodings", "decodings"),
    [
        ("decoder", 3.0, 0.0, 10, 20),
        ("decoder", 3.0, 0.4, 10, 16),  # steps 999, 899, ... 99, four of which lie below 400
        ("decoder", 1.0, 0.0, 10, 10),
        ("decoder", 0.0, 0.0, 10, 10),
        ("all", 3.0, 0.0, 20, 20),
    ],
)
def test_evaluations_of_a_sample(monkeypatch, blocks, guidance, guided_from, encodings, decodings):
    model = adapted(blocks)
    encoded = count_calls(monkeypatch, Backbone, "encode")
    decoded = count_calls(monkeypatch, Backbone, "decode")
    projected = count_calls(monkeypatch, Adapter, "forward")
    sampling = SamplingConfig(steps=10, guidance=guidance, guided_from=guided_from)
    diffusion = DiffusionConfig()
    predict = conditional(model, torch.randn(2, 3), diffusion, sampling)
    generate(predict, seeded_noise(0, [0, 1], 16), diffusion, sampling)
    assert (len(encoded), len(decoded), len(projected)) == (encodings, decodings, 1)


def kept_bytes(work):
    """Bytes of activations that `work` keeps for the backward pass; parameters lie there anyway."""
    kept = {}

    def pack(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = work()
    del held
    return sum(kept.values())


def test_nothing_in_front_of_the_first_modulated_block_is_kept_for_the_backward_pass():
    model = adapted()
    x, t = torch.randn(4, 3, 16, 16), torch.zeros(4)
    assert kept_bytes(lambda: model.backbone.encode(x, t)) == 0
    condition = torch.randn(4, 3)
    partly = kept_bytes(lambda: model(x, t, condition))
    wholly = kept_bytes(lambda: adapted("all")(x, t, condition))
    assert 0 < partly < 0.85 * wholly


class CountingTiles:
    """Tiles on disk that note which rows are read."""

    def __init__(self, tiles):
        self.tiles, self.rows = tiles, []

    def read(self, rows):
        self.rows.extend(rows.tolist())
        return self.tiles[rows]


def test_a_batch_reads_each_of_its_tiles_once_and_only_its_part():
    tiles = CountingTiles(np.zeros((1000, 4, 4, 3), np.uint8))
    batches = StoredBatches(tiles, np.arange(1000))
    batches(8, torch.Generator().manual_seed(0))
    whole, tiles.rows = tiles.rows, []
    assert len(whole) == 8
    batches(8, torch.Generator().manual_seed(0), slice(2, 4))
    assert tiles.rows == whole[2:4]
