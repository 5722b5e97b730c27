"""The phantom keeps its promises: same seed same files, and what it plants can be found again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from c2lst_demo.phantom import DRIVERS, SPOT_UM, TRUTH, Truth, make_phantom
from c2lst_shared.images.slide import Slide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("phantom")
    make_phantom(target, 5, central_slides=1, central_um=800, site_um=3200)
    return target


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return Truth.model_validate_json((folder / TRUTH).read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def nuclear_fraction(picture: npt.NDArray[np.uint8], truth: Truth) -> npt.NDArray[np.float64]:
    """Share of each spot's square that colour deconvolution and Otsu's threshold call nucleus."""
    from skimage.color import rgb2hed
    from skimage.filters import threshold_otsu

    haematoxylin = rgb2hed(picture)[..., 0]
    nuclei = haematoxylin > threshold_otsu(haematoxylin)
    half = round(SPOT_UM / truth.um_per_px / 2)
    squares = ((round(spot.x), round(spot.y)) for spot in truth.spots)
    return np.array([nuclei[max(y - half, 0) : y + half, max(x - half, 0) : x + half].mean() for x, y in squares])


def counts_table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "site" / "phantom.tsv.gz", sep="\t", index_col=0)


def test_phantom_with_the_same_seed_has_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in {"one": 3, "again": 3, "other": 4}.items():
        make_phantom(tmp_path / name, seed, central_slides=1, central_um=500, site_um=900)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in ("central/slide_1.png", "site/phantom.png", "site/phantom.tsv.gz"))


def test_phantom_lays_out_a_data_folder(folder: Path, truth: Truth) -> None:
    assert set(contents(folder)) == {
        "central/slide_1.png",
        "site/phantom.png",
        "site/phantom.tsv.gz",
        "site/phantom_spots.tsv",
        "truth.json",
    }
    table = counts_table(folder)
    centres = pd.read_csv(folder / "site" / "phantom_spots.tsv", sep="\t")
    assert list(table.index) == list(centres["spot"]) == [spot.name for spot in truth.spots]
    assert list(table.columns) == [gene.name for gene in truth.genes]
    assert Slide(folder / "site" / "phantom.png").size == (1164, 1164)
    array = np.array([[float(part) for part in name[1:].split("x")] for name in centres["spot"]])
    np.testing.assert_allclose(centres[["pixel_x", "pixel_y"]], (array - 1) * 200 / truth.um_per_px, atol=0.01)


def test_phantom_shows_tissue_on_a_bright_margin(folder: Path) -> None:
    picture = Slide(folder / "site" / "phantom.png").shrunk(1).astype(float)
    corners = np.concatenate([picture[:20, :20], picture[-20:, -20:]]).mean(axis=(0, 1))
    middle = picture[400:760, 400:760].mean(axis=(0, 1))
    assert corners.min() > 225
    assert middle[1] < middle[0]  # less green than red: pink
    assert middle[1] < 190


def test_nuclear_fraction_follows_the_density_field(folder: Path, truth: Truth) -> None:
    picture = Slide(folder / "site" / "phantom.png").shrunk(1)
    fraction = nuclear_fraction(picture, truth)
    assert np.corrcoef(fraction, [spot.density for spot in truth.spots])[0, 1] > 0.8


def test_stain_vectors_can_be_recovered_from_every_slide(folder: Path) -> None:
    from c2lst_shared.images.stain import fit_slide

    for path in ("central/slide_1.png", "site/phantom.png"):
        stain = fit_slide(Slide(folder / path))
        haematoxylin, eosin = np.array(stain.matrix)
        assert haematoxylin @ [0.64, 0.70, 0.31] > 0.98
        assert eosin @ [0.14, 0.90, 0.40] > 0.96


def test_planted_genes_follow_their_driver_and_no_other_gene_does(folder: Path, truth: Truth) -> None:
    table = counts_table(folder)
    expression = np.log1p(table.div(table.sum(axis=1), axis=0) * 1000)
    felt = {name: np.array([getattr(spot, name) for spot in truth.spots]) for name in DRIVERS}
    for gene in truth.genes:
        if gene.driver:
            found = np.corrcoef(expression[gene.name], felt[gene.driver])[0, 1]
            assert found * np.sign(gene.effect) > 0.5, f"{gene.name}: r {found:.2f}"
    undriven = [gene.name for gene in truth.genes if gene.driver is None]
    for name in DRIVERS:
        found = [abs(np.corrcoef(expression[gene], felt[name])[0, 1]) for gene in undriven if expression[gene].std() > 0]
        assert np.median(found) < 0.2


def test_truth_is_complete_json(folder: Path, truth: Truth) -> None:
    assert json.loads((folder / TRUTH).read_text())["seed"] == 5
    assert {gene.driver for gene in truth.genes} == {None, *DRIVERS}
    assert len(truth.spots) > 100


def test_nuclei_keep_their_size_in_micrometres_at_a_finer_scale(tmp_path: Path) -> None:
    from skimage.color import rgb2hed
    from skimage.filters import threshold_otsu
    from skimage.measure import label, regionprops

    make_phantom(tmp_path, 5, um_per_px=0.8, central_slides=0, site_um=800)
    picture = Slide(tmp_path / "site" / "phantom.png").shrunk(1)
    assert picture.shape == (1000, 1000, 3)
    haematoxylin = rgb2hed(picture)[..., 0]
    nuclei = regionprops(label(haematoxylin > threshold_otsu(haematoxylin)))
    diameters = [nucleus.equivalent_diameter_area * 0.8 for nucleus in nuclei if nucleus.area > 20]
    assert 5 < np.median(diameters) < 10
