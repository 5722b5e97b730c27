"""DP-SGD on an adapter: gradients are right for each spot, none outweighs the clipping norm, noise is as large as it says."""

import numpy as np
import pytest
import torch

from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.film import AdaptedBackbone, build_adapter
from c2lst_shared.diffusion.private_trainer import Mechanism, PrivateTrainer
from c2lst_shared.presets import BackboneConfig, DiffusionConfig, TrainingConfig

BACKBONE = BackboneConfig(
    image_px=16, patch_um=176, unshuffle=2, block_channels=(8, 16), layers_per_block=1, norm_groups=4, attention_head_dim=8
)
SPOTS, GENES = 12, 5
CONFIG = TrainingConfig(steps=3, micro_batch=5, learning_rate=1e-2, condition_dropout=0.3)


def trainer(*, noise=1.0, rate=0.5, clip=1.0, config=CONFIG, secret=7, blocks="decoder", device="cpu"):
    adapter = build_adapter(
        build_backbone(BACKBONE, seed=0),
        condition_dim=GENES,
        hidden_dim=4,
        blocks=blocks,
        backbone_fingerprint="b",
        panel_fingerprint="p",
        seed=0,
    )
    for number, head in enumerate(adapter.heads):  # away from zero, so that projection and null have gradients too
        torch.nn.init.normal_(head.weight, std=0.3, generator=torch.Generator().manual_seed(number))
    adapted = AdaptedBackbone(build_backbone(BACKBONE, seed=0), adapter, backbone_fingerprint="b")
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, size=(SPOTS, 16, 16, 3), dtype=np.uint8)
    condition = torch.from_numpy(rng.normal(size=(SPOTS, GENES)).astype(np.float32))
    spots = StoredBatches(patches, np.arange(SPOTS), condition)
    mechanism = Mechanism(noise_multiplier=noise, sample_rate=rate, clip_norm=clip)
    return PrivateTrainer(adapted, spots, DiffusionConfig(), config, mechanism=mechanism, secret=secret, device=device)


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@pytest.mark.parametrize("blocks", ["decoder", "all"])
def test_unclipped_sum_is_the_gradient_of_the_summed_loss(blocks):
    made = trainer(rate=1.0, clip=1e9, config=CONFIG.model_copy(update={"micro_batch": SPOTS}), blocks=blocks)
    (draw,) = made._draws_of(0)
    sums, losses = made._clipped(draw)
    whole = made._loss(made.network, draw, training=True)
    torch.testing.assert_close(losses, whole.detach(), rtol=2e-3, atol=1e-3)
    expected = torch.autograd.grad(whole.sum(), made._parameters)
    ours, theirs = flat(sums), flat(expected)
    assert float((ours - theirs).norm() / theirs.norm()) < 0.03  # bf16 where the processor has it
    assert all(gradient.abs().sum() > 0 for gradient in sums)


def test_one_spot_moves_the_sum_by_no_more_than_the_clipping_norm():
    clip = 1e-3
    uniform = CONFIG.model_copy(update={"micro_batch": SPOTS, "weighting": "uniform"})
    made = trainer(rate=1.0, clip=clip, config=uniform)
    (draw,) = made._draws_of(0)
    whole = flat(made._clipped(draw)[0])
    for spot in range(SPOTS):
        rest = torch.arange(SPOTS) != spot
        batch = draw.batch._replace(images=draw.batch.images[rest], condition=draw.batch.condition[rest])
        without = flat(
            made._clipped(draw._replace(batch=batch, t=draw.t[rest], noise=draw.noise[rest], keep=draw.keep[rest]))[0]
        )
        assert float((whole - without).norm()) == pytest.approx(clip, rel=0.03)


def test_noise_is_as_large_as_the_mechanism_says(monkeypatch):
    made = trainer(noise=2.0, rate=0.5, clip=0.1)
    found = []
    monkeypatch.setattr(made._optimizer, "step", lambda: found.append(flat([one.grad for one in made._parameters])))
    made._one_step([])  # nobody was drawn: the gradient is noise alone
    assert float(found[0].std()) == pytest.approx(2.0 * 0.1 / (0.5 * SPOTS), rel=0.1)


def test_spots_are_drawn_each_on_its_own():
    made = trainer(rate=0.5)
    counts = [sum(len(draw.t) for draw in made._draws_of(step)) for step in range(200)]
    assert np.mean(counts) == pytest.approx(SPOTS / 2, abs=0.6)
    assert np.var(counts) == pytest.approx(SPOTS / 4, rel=0.4)  # a fixed batch would not vary
    assert max(len(draw.t) for step in range(50) for draw in made._draws_of(step)) == CONFIG.micro_batch


def test_chance_is_secret_unless_a_test_says_otherwise():
    def trained(secret):
        made = trainer(secret=secret)
        assert made.train(lambda _: None)
        return flat(made._parameters)

    assert torch.equal(trained(3), trained(3))
    assert not torch.equal(trained(None), trained(None))


@pytest.mark.slow
def test_with_little_noise_it_learns():
    config = CONFIG.model_copy(update={"steps": 150, "noise_from": 0.3, "weighting": "uniform"})
    made = trainer(noise=0.01, rate=0.9, clip=0.01, config=config)
    made.train(lambda _: None)
    assert np.mean(made.losses[-30:]) < 0.95 * np.mean(made.losses[:30])
