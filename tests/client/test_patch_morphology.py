"""The numbers of a patch say what was painted into it."""

import numpy as np
import pytest
from fakes.blobs import blob_patches

from c2lst_client.evaluate.nuclei import nuclear_fraction, nuclear_threshold
from c2lst_client.evaluate.patch_morphology import NUMBERS, measure_morphology, measure_samples
from c2lst_shared.errors import BadInput


def test_nuclear_fraction_is_the_same_as_everywhere_else():
    patches = blob_patches(np.linspace(0, 1, 300), seed=1)  # more than one chunk
    threshold = nuclear_threshold(patches)
    np.testing.assert_array_equal(measure_morphology(patches, threshold)[:, 0], nuclear_fraction(patches, threshold))


def test_darker_patches_have_more_haematoxylin_and_pink_ones_more_eosin():
    pale, purple, pink = (
        np.full((1, 16, 16, 3), colour, np.uint8) for colour in ([230, 220, 230], [90, 70, 150], [230, 120, 160])
    )
    numbers = dict(zip(NUMBERS, measure_morphology(np.concatenate([pale, purple, pink]), 0.1).T, strict=True))
    assert numbers["haematoxylin"].argmax() == 1
    assert numbers["eosin"].argmax() == 2
    assert numbers["texture"].tolist() == [0, 0, 0]


def test_noise_has_more_texture_and_blur_less():
    from scipy.ndimage import gaussian_filter

    patch = blob_patches([0.5], px=64, seed=1)
    noisy = np.clip(patch + np.random.default_rng(0).normal(0, 60, patch.shape), 0, 255).astype(np.uint8)
    texture = measure_morphology(np.concatenate([gaussian_filter(patch, (0, 3, 3, 0)), patch, noisy]), 0.1)[:, 3]
    assert texture[0] < 0.5 * texture[1] < texture[1] < texture[2]


def test_samples_keep_their_spot():
    patches = blob_patches(np.linspace(0, 1, 6), seed=2)
    samples = measure_samples(patches.reshape(3, 2, *patches.shape[1:]), 0.1)
    np.testing.assert_array_equal(samples.reshape(6, 4), measure_morphology(patches, 0.1))


@pytest.mark.parametrize("patches", [np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.uint8)])
def test_what_is_no_patch_is_refused(patches):
    with pytest.raises(BadInput, match="8 bits"):
        measure_morphology(patches, 0.1)
