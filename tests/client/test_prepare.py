"""Prepared spots show the slide in the release's colours; once made they are found, and other settings are refused."""

import numpy as np
import pytest
from fakes.real_data import DATA, needs_data
from fakes.small_site import SmallSite, h_and_e

from c2lst_client.spots.panel import fit_panel
from c2lst_client.spots.prepare import PreparedSpots, prepare_spots
from c2lst_client.spots.read import read_spots
from c2lst_client.spots.split import split_spots
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.stain import fit_slide, reference_from
from c2lst_shared.presets import get_preset
from c2lst_shared.release.manifest import StainReference

BACKBONE = get_preset("tiny").backbone
PALE = StainReference(method="macenko", matrix=((0.55, 0.76, 0.34), (0.10, 0.92, 0.37)), max_concentration=(1.2, 0.5))


class Counting:
    """Progress that keeps what it was told."""

    def __init__(self):
        self.total = self.done = 0
        self.started = []

    def start(self, what, total, *, done=0):
        self.started.append((what, total, done))

    def advance(self, units=1, note=""):
        self.done += units


@pytest.fixture
def spots(tmp_path):
    return read_spots(SmallSite().write_legacy(tmp_path / "site"))


def prepared(spots, tmp_path, **changes):
    choice = {"backbone": BACKBONE, "stain": PALE, "folder": tmp_path / "spots"} | changes
    return prepare_spots(spots, **choice)


def test_prepared_spots_keep_counts_places_and_scale(spots, tmp_path):
    result = prepared(spots, tmp_path)
    assert result.barcodes == spots.barcodes
    assert result.genes == spots.genes
    assert result.counts.dtype == np.int32
    assert np.array_equal(result.counts.toarray(), spots.counts.toarray())
    assert np.array_equal(result.centres, spots.centres)
    assert result.um_per_px == spots.um_per_px
    assert result.patch_um == BACKBONE.patch_um
    assert result.notes == spots.notes
    assert result.patches(range(len(result))).shape == (49, 64, 64, 3)


def test_patches_are_centred_on_their_spots(tmp_path):
    site = SmallSite()
    pixels = site.pixels.copy()
    for x, y in site.centres.astype(int):
        pixels[y - 3 : y + 4, x - 3 : x + 4] = (60, 30, 110)  # a nucleus right on the centre
    spots = read_spots(SmallSite(pixels=pixels).write_legacy(tmp_path / "site"))
    patches = prepared(spots, tmp_path).patches(range(49)).astype(float).mean(axis=(0, 3))
    assert patches[30:34, 30:34].mean() < patches.mean() - 60


def test_patches_get_the_colours_of_the_release(spots, tmp_path):
    result = prepared(spots, tmp_path)
    raw = np.stack(list(spots.patches(BACKBONE.patch_um, BACKBONE.image_px)))
    patches = result.patches(range(49))
    assert patches.mean() > raw.mean() + 5  # the reference is paler
    fitted = fit_slide(patches)
    assert np.allclose(fitted.max_concentration, PALE.max_concentration, rtol=0.15)
    assert np.allclose(fitted.matrix, PALE.matrix, atol=0.12)


def test_slide_that_is_its_own_reference_hardly_changes(spots, tmp_path):
    result = prepared(spots, tmp_path, stain=reference_from(fit_slide(h_and_e())))
    raw = np.stack(list(spots.patches(BACKBONE.patch_um, BACKBONE.image_px))).astype(float)
    assert np.abs(result.patches(range(49)) - raw).mean() < 15  # the lamp of 243 becomes 255


def test_equal_second_call_does_nothing(spots, tmp_path):
    first = prepared(spots, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "spots").iterdir()}
    progress = Counting()
    again = prepared(read_spots(tmp_path / "site"), tmp_path, progress=progress)
    assert again.fingerprint == first.fingerprint
    assert progress.started == []
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "spots").iterdir()} == before


class StoppedError(Exception):
    pass


class Stopping(Counting):
    def advance(self, units=1, note=""):
        raise StoppedError


def test_stopped_preparation_goes_on_and_gives_the_same(spots, tmp_path):
    whole = prepared(spots, tmp_path, folder=tmp_path / "whole")
    with pytest.raises(StoppedError):
        prepared(spots, tmp_path, progress=Stopping())
    with pytest.raises(BadInput, match="has 32 of 49 patches"):
        PreparedSpots.open(tmp_path / "spots")
    progress = Counting()
    result = prepared(spots, tmp_path, progress=progress)
    assert progress.started == [("Stain-normalising patches", 49, 32)]
    assert progress.done == 17
    assert np.array_equal(result.patches(range(49)), whole.patches(range(49)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stain": PALE.model_copy(update={"max_concentration": (2.0, 1.0)})}, "stain"),
        ({"backbone": BACKBONE.model_copy(update={"patch_um": 155.0})}, "patch_um"),
        ({"backbone": BACKBONE.model_copy(update={"image_px": 32})}, "image_px"),
    ],
    ids=["stain", "patch_um", "image_px"],
)
def test_other_settings_are_refused_or_replace(spots, tmp_path, change, named):
    first = prepared(spots, tmp_path)
    with pytest.raises(BadInput, match=rf"differs: .*{named}"):
        prepared(spots, tmp_path, **change)
    assert PreparedSpots.open(tmp_path / "spots").fingerprint == first.fingerprint
    replaced = prepared(spots, tmp_path, overwrite=True, **change)
    assert replaced.fingerprint != first.fingerprint


def test_other_counts_or_another_image_are_another_preparation(spots, tmp_path):
    prepared(spots, tmp_path)
    changed = SmallSite(counts=SmallSite().counts + 1)
    with pytest.raises(BadInput, match="differs: counts_sha256"):
        prepared(read_spots(changed.write_legacy(tmp_path / "other")), tmp_path)
    darker = SmallSite(pixels=(h_and_e() * 0.98).astype(np.uint8))
    with pytest.raises(BadInput, match="differs: image_sha256"):
        prepared(read_spots(darker.write_legacy(tmp_path / "darker")), tmp_path)


def test_coarse_image_is_told(tmp_path):
    spots = read_spots(SmallSite().write_legacy(tmp_path / "site"), um_per_px=5.0)
    notes = prepared(spots, tmp_path).notes
    assert notes[-1].startswith("The image has 5.00 um/px and the backbone works at 2.75: patches are blurred")


def test_pairs_that_are_no_prepared_spots_are_refused(tmp_path):
    from fakes.pair_process import patch, writer

    with writer(tmp_path, 1, 16) as pairs:
        pairs.append(patch(0, 16)[None])
        pairs.finish()
    with pytest.raises(BadArtefact, match="does not hold prepared spots but synthetic pairs"):
        PreparedSpots.open(tmp_path)


def test_panel_and_split_are_the_same_from_read_and_from_prepared_spots(spots, tmp_path):
    result = prepared(spots, tmp_path)
    split = split_spots(spots, BACKBONE.patch_um)
    assert split_spots(result, BACKBONE.patch_um) == split
    train, _ = split.rows(spots.barcodes)
    assert fit_panel(result, train, 6) == fit_panel(spots, train, 6)


@needs_data
@pytest.mark.real_data
@pytest.mark.slow
def test_expression_of_a_real_section_follows_its_nuclei(tmp_path):
    spots = read_spots(DATA / "mob" / "site")
    reference = reference_from(fit_slide(spots.slide))
    result = prepared(spots, tmp_path, stain=reference)
    patches = result.patches(range(len(result)))
    nuclear = (patches[..., 0] < 110).mean(axis=(1, 2))
    panel = fit_panel(result, range(len(result)), 4000)
    scores = panel.transform(result.counts, result.genes)
    assert np.corrcoef(scores[:, panel.genes.index("Pcp4")], nuclear)[0, 1] > 0.5
    assert np.corrcoef(scores[:, panel.genes.index("Sepp1")], nuclear)[0, 1] < -0.5
