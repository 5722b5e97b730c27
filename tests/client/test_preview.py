"""`inspect --preview` writes one picture, atomically, and nothing else; what it shows was looked at by eye."""

import json

import numpy as np
import pytest
import scipy.sparse
from fakes.small_site import SmallSite
from PIL import Image
from typer.testing import CliRunner

from c2lst_client.cli import app
from c2lst_client.preview import spread_out, write_preview
from c2lst_client.spots.read import read_spots
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadInput


def test_inspect_writes_the_picture_and_says_so(tmp_path):
    raw = SmallSite().write_legacy(tmp_path / "raw")
    before = sorted(raw.iterdir())
    done = CliRunner().invoke(app, ["inspect", str(raw), "--preview", str(tmp_path / "p.png"), "--patch-um", "100"])
    assert done.stdout.splitlines()[-1] == f"Preview: {tmp_path / 'p.png'}"
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (1875, 960)
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 1000
    assert sorted(raw.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.png", "raw"]


def test_json_stays_json_beside_the_picture(tmp_path):
    raw = SmallSite().write_legacy(tmp_path / "raw")
    done = CliRunner().invoke(app, ["inspect", str(raw), "--preview", str(tmp_path / "p.png"), "--json"])
    assert json.loads(done.stdout)["preview"] == str(tmp_path / "p.png")


def test_picture_that_cannot_be_written_is_one_sentence(tmp_path):
    spots = read_spots(SmallSite().write_legacy(tmp_path / "raw"))
    with pytest.raises(BadInput, match=r"p.jpg does not end in .png; give the preview a name that does"):
        write_preview(spots, tmp_path / "p.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"The preview cannot be written to .*; give another path"):
        write_preview(spots, tmp_path / "file" / "p.png")


def test_patches_come_from_all_over_the_slide_in_reading_order():
    centres = SmallSite().centres
    chosen = centres[spread_out(centres, 3, 4)]
    assert len(np.unique(chosen, axis=0)) == 12
    assert (np.diff(chosen[:, 0].reshape(3, 4), axis=1) > 0).all()
    assert (np.diff(chosen[:, 1].reshape(3, 4).mean(axis=1)) > 0).all()


@pytest.mark.parametrize("count", [1, 2, 11, 12, 13])
def test_few_spots_are_each_shown_once(count):
    chosen = spread_out(np.random.default_rng(0).random((count, 2)), 3, 4)
    assert len(set(chosen.tolist())) == len(chosen) <= min(count, 12)


@pytest.mark.slow
def test_many_spots_with_odd_names_are_drawn(tmp_path):
    site = SmallSite()
    small = read_spots(site.write_legacy(tmp_path / "raw"))
    rng = np.random.default_rng(0)
    centres = rng.uniform(20, 580, (5000, 2))
    names = [f"$x_{number}$\n<b>" for number in range(5000)]
    counts = scipy.sparse.csr_matrix(rng.poisson(3, (5000, 12)).astype(np.int32))
    write_preview(SpotSet(names, site.genes, counts, centres, small.slide, 2.78, "a test", []), tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 100_000
