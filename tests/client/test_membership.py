"""Membership inference: an adapter that learned its spots by heart is found out, one that has seen none is not."""

import numpy as np
import pytest
import torch
from fakes.toy_release import toy_release

from c2lst_client.privacy.membership import CALIBRATED, Losses, denoising_losses, measure_membership, time_steps
from c2lst_client.privacy.roc import draws
from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.film import AdaptedBackbone, build_adapter
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.errors import BadInput
from c2lst_shared.presets import TrainingConfig
from c2lst_shared.progress import Silent

SPOTS, GENES = 24, 12
STEPS = [300, 600]


def spots(seed):
    """Patches of one colour each, which has nothing to do with their expression."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, size=(SPOTS, 1, 1, 3))
    patches = np.clip(colours + rng.normal(0, 10, size=(SPOTS, 16, 16, 3)), 0, 255).astype(np.uint8)
    return patches, rng.normal(size=(SPOTS, GENES)).astype(np.float32)


def fresh():
    release = toy_release()
    adapter = build_adapter(
        release.backbone(),
        condition_dim=GENES,
        hidden_dim=64,
        blocks="all",
        backbone_fingerprint="b",
        panel_fingerprint="p",
        seed=0,
    )
    return AdaptedBackbone(release.backbone(), adapter, backbone_fingerprint="b"), release.manifest.diffusion


def losses(adapted, diffusion, patches, expression, **changes):
    settings = {"steps": STEPS, "noises": 2, "batch": 10, "progress": Silent()} | changes
    return denoising_losses(adapted, diffusion, patches, expression, **settings)


def drawn():
    rng = np.random.default_rng(0)
    return draws(rng.uniform(0, 1000, size=(SPOTS, 2)), rng.uniform(0, 1000, size=(SPOTS, 2)))


def test_adapter_that_was_not_trained_knows_nothing():
    adapted, diffusion = fresh()
    patches, expression = spots(0)
    measured = losses(adapted, diffusion, patches, expression)
    assert np.array_equal(measured.adapted, measured.backbone)
    assert np.array_equal(measured.shuffled, measured.backbone)
    twice = Losses(*(np.concatenate([part, part]) for part in measured))
    found = measure_membership(twice, SPOTS, drawn(), steps=STEPS, noises=2)
    assert found.declared.attack == CALIBRATED
    assert found.declared.auc.value == 0.5


@pytest.mark.slow
def test_adapter_that_learned_its_spots_by_heart_is_found_out():
    adapted, diffusion = fresh()
    (patches, expression), (others, other_expression) = spots(0), spots(1)
    config = TrainingConfig(steps=600, micro_batch=24, learning_rate=1e-2, weighting="uniform")
    batches = StoredBatches(patches, np.arange(SPOTS), torch.from_numpy(expression))
    Trainer(adapted, batches, diffusion, config, seed=0).train(lambda trainer: None)
    measured = losses(
        adapted, diffusion, np.concatenate([patches, others]), np.concatenate([expression, other_expression]), noises=4
    )
    found = measure_membership(measured, SPOTS, drawn(), steps=STEPS, noises=4)
    assert found.declared.auc.low > 0.7
    assert found.excess.low > 0
    assert found.control.auc.low < 0.5 < found.control.auc.high
    assert all(attack.auc.value > 0.7 for attack in found.attacks)


def test_losses_depend_on_neither_batch_nor_call():
    adapted, diffusion = fresh()
    torch.nn.init.normal_(adapted.adapter.heads[0].weight, generator=torch.Generator().manual_seed(0))
    patches, expression = spots(0)
    one = losses(adapted, diffusion, patches, expression, batch=24)
    other = losses(adapted, diffusion, patches, expression, batch=7)
    for name in Losses._fields:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4)
    assert not np.allclose(one.adapted, one.shuffled)
    assert not np.allclose(one.adapted, losses(adapted, diffusion, patches, expression, seed=1).adapted)


def test_time_steps_lie_where_the_adapter_was_trained():
    _, diffusion = fresh()
    assert time_steps(diffusion, count=4) == [125, 375, 625, 875]
    assert time_steps(diffusion, 0.4, count=3) == [500, 700, 900]


def test_patches_without_their_expression_are_refused():
    adapted, diffusion = fresh()
    patches, expression = spots(0)
    with pytest.raises(BadInput, match="24 patches and 3 rows of expression"):
        losses(adapted, diffusion, patches, expression[:3])
