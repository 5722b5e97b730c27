"""A graphed step computes what the same step computes without a graph."""

import numpy as np
import pytest
import torch
from torch import nn

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.cuda_graph import WARM_UP, Graphed
from c2lst_shared.diffusion.film import AdaptedBackbone, build_adapter
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.presets import PRESETS, BackboneConfig, DiffusionConfig, TrainingConfig

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")

BACKBONE = BackboneConfig(
    image_px=16, patch_um=44, unshuffle=2, block_channels=(32, 32), layers_per_block=1, norm_groups=8, attention_head_dim=16
)
STEPS = TrainingConfig(steps=12, micro_batch=4, accumulation=2, learning_rate=1e-3, condition_dropout=0.5)


def test_without_a_card_the_function_is_called_as_it_is():
    calls = []
    graphed = Graphed(lambda x, y: calls.append(1) or x + y, torch.device("cpu"))
    results = [float(graphed(torch.tensor(float(n)), torch.tensor(1.0))) for n in range(WARM_UP + 2)]
    assert results == [1, 2, 3, 4, 5]
    assert len(calls) == WARM_UP + 2


@needs_card
def test_a_card_replays_and_adds_gradients_in_place():
    calls = []
    layer = nn.Linear(3, 1, bias=False, device="cuda")

    def add_gradients(x):
        calls.append(1)
        loss = layer(x).sum()
        loss.backward()
        return loss.detach()

    graphed = Graphed(add_gradients, torch.device("cuda"))
    for n in range(10):
        x = torch.full((2, 3), float(n))
        assert float(graphed(x)) == pytest.approx(float(layer(x.cuda()).sum()), rel=1e-5)
        torch.testing.assert_close(layer.weight.grad, torch.full((1, 3), 2.0 * sum(range(n + 1)), device="cuda"))
    assert len(calls) == WARM_UP + 1


@needs_card
def test_what_cannot_be_recorded_is_called_as_it_is():
    def waits_for_the_card(x):
        return x * float(x.sum())

    graphed = Graphed(waits_for_the_card, torch.device("cuda"))
    assert [float(graphed(torch.tensor(float(n)))) for n in range(8)] == [n * n for n in range(8)]
    assert not graphed.replays


def losses_of(network, condition, *, graphed, config=STEPS, px=16):
    pixels = np.random.default_rng(0).integers(0, 255, (20, px, px, 3), dtype=np.uint8)
    batches = StoredBatches(pixels, np.arange(20), condition)
    run = Trainer(network, batches, DiffusionConfig(), config, seed=1, device="cuda")
    run._accumulate.replays = graphed
    run.train(lambda _: None)
    assert run._accumulate.replays == graphed  # and has not given up on the way
    return run.losses


def adapted(config=BACKBONE):
    backbone = build_backbone(config, seed=0)
    options = {"backbone_fingerprint": "b", "panel_fingerprint": "p", "seed": 0}
    adapter = build_adapter(backbone, condition_dim=5, hidden_dim=8, blocks="decoder", **options)
    return AdaptedBackbone(backbone, adapter, backbone_fingerprint="b")


@needs_card
def test_both_stages_follow_the_same_curve_with_and_without_a_graph():
    condition = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    for make, of in ((lambda: build_backbone(BACKBONE, seed=0), None), (adapted, condition)):
        np.testing.assert_allclose(losses_of(make(), of, graphed=True), losses_of(make(), of, graphed=False), rtol=2e-2)


@needs_card
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_presets_can_be_recorded(preset):
    config = PRESETS[preset].backbone
    training = PRESETS[preset].pretraining.model_copy(update={"steps": 8, "warmup_fraction": 0.0, "decay_fraction": 0.0})
    losses = losses_of(build_backbone(config, seed=0), None, graphed=True, config=training, px=config.image_px)
    assert np.isfinite(losses).all()
