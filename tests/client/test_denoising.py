"""The backbone's loss on patches: the same at every call, higher on what it was not trained on."""

import numpy as np
import pytest
from fakes.small_site import h_and_e
from fakes.toy_release import toy_release

from c2lst_client.evaluate.denoising import LEVELS, denoising_losses, measure_denoising
from c2lst_shared.diffusion.augment import StoredBatches
from c2lst_shared.diffusion.trainer import Trainer
from c2lst_shared.presets import TrainingConfig
from c2lst_shared.progress import Silent


def patches_of(pixels: np.ndarray, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    corners = rng.integers(60, 520, (count, 2))
    return np.stack([pixels[y : y + 16, x : x + 16] for y, x in corners])


def losses(backbone, patches):
    diffusion = toy_release().manifest.diffusion
    return denoising_losses(backbone, lambda rows: patches[list(rows)], len(patches), diffusion, progress=Silent())


def test_loss_is_one_number_per_patch_and_the_same_again():
    patches = patches_of(h_and_e())
    first = losses(toy_release().backbone(), patches)
    assert first.shape == (40,)
    assert (first > 0).all()
    np.testing.assert_array_equal(first, losses(toy_release().backbone(), patches))


@pytest.mark.slow
def test_tissue_that_the_backbone_knows_has_the_lower_loss():
    known = patches_of(h_and_e())
    foreign = 255 - known
    backbone = toy_release().backbone().train()
    config = TrainingConfig(steps=300, micro_batch=16, learning_rate=3e-3)
    Trainer(backbone, StoredBatches(known, np.arange(len(known))), toy_release().manifest.diffusion, config, seed=0).train(
        lambda _: None
    )
    on_known, on_foreign = measure_denoising(losses(backbone, known)), measure_denoising(losses(backbone, foreign))
    assert on_known.loss.high < on_foreign.loss.low
    assert (on_known.spots, on_known.levels) == (40, LEVELS)
