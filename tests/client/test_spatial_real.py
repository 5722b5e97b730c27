"""Spatial coherence of real expression: layers of the olfactory bulb are found, and predictors differ as they must."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from fakes.real_data import DATA, needs_data

from c2lst_client.evaluate.boundaries import measure_boundaries
from c2lst_client.evaluate.spatial import measure_spatial
from c2lst_client.report.clusters import k_means
from c2lst_client.spots.panel import fit_panel
from c2lst_client.spots.read import read_spots
from c2lst_client.spots.split import split_spots

pytestmark = [needs_data, pytest.mark.real_data, pytest.mark.slow]


class Bulb(NamedTuple):
    genes: list[str]
    expression: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float64]
    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


@pytest.fixture(scope="module")
def bulb() -> Bulb:
    spots = read_spots(DATA / "mob" / "site")
    train, test = split_spots(spots, 176.0, 0.25).rows(spots.barcodes)
    panel = fit_panel(spots, train)
    return Bulb(list(panel.genes), panel.transform(spots.counts, spots.genes), np.asarray(spots.centres), train, test)


def test_genes_of_layers_have_a_pattern_on_the_held_out_spots(bulb: Bulb):
    measured = bulb.expression[bulb.test]
    result = measure_spatial(measured, {"mean": np.zeros_like(measured)}, bulb.centres[bulb.test], bulb.genes)
    strongest = {bulb.genes[gene] for gene in np.argsort(result.measured.i)[-20:]}
    assert {"Fabp7", "Apod"} <= strongest  # glia of the outer layer
    assert result.measured.significant > 50
    assert result.isolated <= 5


def test_a_predictor_that_averages_neighbours_blurs_borders(bulb: Bulb):
    from sklearn.neighbors import KNeighborsRegressor

    model = KNeighborsRegressor(5).fit(bulb.centres[bulb.train], bulb.expression[bulb.train])
    measured, where = bulb.expression[bulb.test], bulb.centres[bulb.test]
    arms = {"neighbours": model.predict(where), "measured": measured}
    neighbours, itself = measure_boundaries(measured, arms, k_means(bulb.expression)[bulb.test], where).arms
    assert itself.contrast.value == pytest.approx(1)
    assert neighbours.contrast.high < 0.5
    assert neighbours.sharpness is not None
    assert neighbours.sharpness.high < 1
