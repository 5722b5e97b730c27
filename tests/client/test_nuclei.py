"""The nuclear fraction grows with the area of nuclei, and one threshold serves real and synthetic patches alike."""

import numpy as np
import pytest
from fakes.blobs import blob_patches

from c2lst_client.evaluate.nuclei import CHUNK, nuclear_fraction, nuclear_threshold


def test_fraction_is_the_area_of_dark_blobs():
    blank = np.full((32, 32, 3), (225, 200, 225), np.uint8)
    half = blank.copy()
    half[:, :16] = (70, 50, 130)
    threshold = nuclear_threshold(np.stack([blank, half]))
    assert nuclear_fraction(np.stack([blank, half]), threshold).tolist() == [0.0, 0.5]


def test_fraction_follows_density_of_blobs():
    density = np.linspace(0, 1, 40)
    patches = blob_patches(density, seed=0)
    fraction = nuclear_fraction(patches, nuclear_threshold(patches))
    assert np.corrcoef(density, fraction)[0, 1] > 0.95


def test_more_eosin_is_not_more_nucleus():
    pale = np.full((1, 8, 8, 3), (235, 215, 230), np.uint8)
    pink = np.full((1, 8, 8, 3), (235, 120, 190), np.uint8)
    threshold = nuclear_threshold(blob_patches(np.linspace(0, 1, 20), seed=0))
    assert nuclear_fraction(np.concatenate([pale, pink]), threshold).tolist() == [0.0, 0.0]


def test_chunks_do_not_change_the_result():
    patches = blob_patches(np.linspace(0, 1, CHUNK + 3), px=8, seed=1)
    threshold = nuclear_threshold(patches)
    alone = [nuclear_fraction(patches[row : row + 1], threshold)[0] for row in (0, CHUNK - 1, CHUNK, CHUNK + 2)]
    assert nuclear_fraction(patches, threshold)[[0, CHUNK - 1, CHUNK, CHUNK + 2]].tolist() == alone


@pytest.mark.parametrize("value", [0, 255])
def test_extreme_pixels_give_a_finite_share(value):
    assert nuclear_fraction(np.full((1, 4, 4, 3), value, np.uint8), 0.08)[0] in {0.0, 1.0}


def test_no_patches_give_no_shares():
    assert nuclear_fraction(np.empty((0, 8, 8, 3), np.uint8), 0.1).shape == (0,)
