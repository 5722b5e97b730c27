"""The backbone computes what the U-Net of diffusers computes, behind a stem that loses nothing."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.presets import PRESETS, BackboneConfig

CONFIG = BackboneConfig(
    image_px=16, patch_um=44, unshuffle=2, block_channels=(8, 16), layers_per_block=2, norm_groups=4, attention_head_dim=8
)


def test_split_forward_equals_the_unet_of_diffusers():
    backbone = build_backbone(CONFIG, seed=0)
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    whole = F.pixel_shuffle(backbone.unet(F.pixel_unshuffle(x, 2), t).sample, 2)
    assert torch.equal(backbone(x, t), whole)


def test_same_seed_gives_same_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build_backbone(CONFIG, seed=0).state_dict()
    assert torch.equal(torch.rand(1), expected)
    second = build_backbone(CONFIG, seed=0).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_networks_that_can_be_built(name):
    with torch.device("meta"):
        backbone = build_backbone(PRESETS[name].backbone)
    assert sum(p.numel() for p in backbone.parameters()) > 1_000_000


@pytest.mark.parametrize("change", [{"image_px": 18}, {"norm_groups": 5}])
def test_sizes_that_do_not_divide_are_refused(change):
    with pytest.raises(ValidationError):
        BackboneConfig(**{**CONFIG.model_dump(), **change})
