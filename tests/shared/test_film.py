"""The adapter's promises: it starts as nothing, trains alone, and fits one backbone and one panel."""

import pytest
import torch

from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.diffusion.film import AdaptedBackbone, FilmHead, build_adapter
from c2lst_shared.diffusion.schedule import NoiseSchedule
from c2lst_shared.errors import BadArtefact
from c2lst_shared.presets import BackboneConfig, DiffusionConfig

CONFIG = BackboneConfig(
    image_px=16, patch_um=44, unshuffle=2, block_channels=(8, 16), layers_per_block=1, norm_groups=4, attention_head_dim=8
)
D = 5


def adapted(blocks="decoder", *, trained=False):
    backbone = build_backbone(CONFIG, seed=0)
    adapter = build_adapter(
        backbone,
        condition_dim=D,
        hidden_dim=6,
        blocks=blocks,
        backbone_fingerprint="b" * 64,
        panel_fingerprint="p" * 64,
        seed=1,
    )
    if trained:
        generator = torch.Generator().manual_seed(2)
        for parameter in adapter.parameters():
            parameter.data.normal_(0, 0.3, generator=generator)
    return AdaptedBackbone(backbone, adapter, backbone_fingerprint="b" * 64)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(4, 3, 16, 16, generator=generator),
        torch.tensor([0, 10, 500, 999]),
        torch.randn(4, D, generator=generator),
    )


@pytest.mark.parametrize("blocks", ["decoder", "all"])
def test_fresh_adapter_changes_no_bit(blocks, inputs):
    x, t, condition = inputs
    model = adapted(blocks)
    assert torch.equal(model(x, t, condition), model.backbone(x, t))


@pytest.mark.parametrize("blocks", ["decoder", "all"])
def test_trained_adapter_changes_output(blocks, inputs):
    x, t, condition = inputs
    model = adapted(blocks, trained=True)
    assert not torch.allclose(model(x, t, condition), model.backbone(x, t))
    assert not torch.allclose(model(x, t, condition), model(x, t, condition.flip(0)))


def test_training_step_reaches_adapter_only(inputs):
    x, t, condition = inputs
    model = adapted()
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    schedule = NoiseSchedule(DiffusionConfig())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # heads start at zero: the projection has a gradient from the second step on
        optimizer.zero_grad()
        schedule.loss(model(x, t, condition, torch.tensor([True, True, True, False])), x, x, t).mean().backward()
        optimizer.step()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.adapter.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.backbone.state_dict().items())


def test_decoder_adapter_keeps_no_gradient_in_the_encoder(inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    encoded = model.backbone.encode(x, t)
    assert not encoded.hidden.requires_grad
    assert model(x, t, condition).requires_grad


def test_guidance_one_is_the_conditional_pass(inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    guided = model.guided(x, t, model.adapter(condition), model.adapter.unconditional(), 1.0)
    assert torch.equal(guided, model(x, t, condition))


def test_guidance_zero_is_the_unconditional_pass(inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    guided = model.guided(x, t, model.adapter(condition), model.adapter.unconditional(), 0.0)
    dropped = model(x, t, condition, torch.zeros(4, dtype=torch.bool))
    torch.testing.assert_close(guided, dropped)


def test_shared_encoder_changes_no_bit(inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    modulations, null = model.adapter(condition), model.adapter.unconditional()
    conditional = model.guided(x, t, modulations, null, 1.0)
    unconditional = model.guided(x, t, modulations, null, 0.0)
    shared = model.guided(x, t, modulations, null, 3.0)
    assert torch.equal(shared, unconditional + 3.0 * (conditional - unconditional))


def test_shared_encoder_runs_once_per_guided_step(inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    runs = []
    model.backbone.unet.conv_in.register_forward_hook(lambda *_: runs.append(1))
    model.guided(x, t, model.adapter(condition), model.adapter.unconditional(), 3.0)
    assert len(runs) == 1


def test_heads_are_found_by_type_and_fit_their_blocks():
    model = adapted("all")
    heads = [module for module in model.adapter.modules() if isinstance(module, FilmHead)]
    assert [head.out_features for head in heads] == [2 * c for c in model.adapter.config.block_channels]
    assert len(heads) > len(adapted("decoder").adapter.heads)


def test_adapter_of_another_backbone_is_refused():
    model = adapted()
    with pytest.raises(BadArtefact, match="belongs to backbone bbbbbbbbbbbb, not cccccccccccc"):
        AdaptedBackbone(model.backbone, model.adapter, backbone_fingerprint="c" * 64)


def test_adapter_with_other_blocks_is_refused():
    other = build_backbone(CONFIG.model_copy(update={"block_channels": (8, 32)}), seed=0)
    with pytest.raises(BadArtefact, match="do not fit"):
        AdaptedBackbone(other, adapted().adapter, backbone_fingerprint="b" * 64)


def test_adapter_of_another_panel_is_refused():
    with pytest.raises(BadArtefact, match="gene panel pppppppppppp, not qqqqqqqqqqqq"):
        adapted().adapter.check_panel("q" * 64)


def test_condition_of_wrong_width_is_refused(inputs):
    x, t, condition = inputs
    with pytest.raises(ValueError, match="width 4, the adapter takes 5"):
        adapted()(x, t, condition[:, :4])


def test_adapter_survives_saving(tmp_path, inputs):
    x, t, condition = inputs
    model = adapted(trained=True)
    model.adapter.save_pretrained(tmp_path)
    loaded = type(model.adapter).from_pretrained(tmp_path)
    again = AdaptedBackbone(build_backbone(CONFIG, seed=0), loaded, backbone_fingerprint="b" * 64)
    assert torch.equal(again(x, t, condition), model(x, t, condition))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
