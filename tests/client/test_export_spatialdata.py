"""Pairs as a SpatialData store: what spatialdata and our own readers see in it; it appears whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
import zarr
from fakes.pair_process import patch, writer

from c2lst_client.audit import AuditLog, verify_chain
from c2lst_client.export import plan_export, write_export
from c2lst_client.export_spatialdata import CHUNK, spot_radius, write_store
from c2lst_client.home import Home
from c2lst_client.rounds.policy import Policy
from c2lst_client.sites import SiteRecord, open_site
from c2lst_client.spots.circles import read_circles
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.read import read_spots
from c2lst_shared.errors import BadArtefact, BadInput

TESTS = Path(__file__).parents[1]
COUNT = 150  # more than two chunks
MIXING = {
    "source": ["x"] * COUNT,
    "source_share": [0.75] * COUNT,
    "partner_1": ["y"] * COUNT,
    "partner_1_share": [0.25] * COUNT,
}

pytestmark = [
    pytest.mark.slow,  # spatialdata takes seconds to import
    pytest.mark.filterwarnings("ignore"),  # what spatialdata and its libraries deprecate in one another is theirs to change
]


@pytest.fixture
def site(tmp_path):
    home = Home(tmp_path / "home")
    SiteRecord(name="demo", organ="mob", spots=tmp_path / "raw").save(home.site("demo") / "site.json")
    site = open_site(home, "demo")
    with writer(
        site.synthetic, COUNT, 8, provenance={"kind": "synthetic pairs", "expression": "interpolated"}, obs=MIXING
    ) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(COUNT)]))
    return site


@pytest.fixture
def pairs(site):
    return PairSet.open(site.synthetic)


@pytest.fixture
def store(site, tmp_path):
    planned = plan_export(site, tmp_path / "out.zarr", policy=Policy(), format="spatialdata", without_privacy_check=True)
    return write_export(planned, AuditLog(tmp_path / "audit.log"))


def test_spatialdata_opens_the_store_and_finds_every_pair_by_its_number(store, pairs):
    import spatialdata

    data = spatialdata.read_zarr(store)
    table, circles, patches = data["table"], data["pairs"], data["patches"]
    assert np.array_equal(table.X, pairs.expression)
    assert (list(table.var_names), list(table.obs_names)) == (pairs.genes, pairs.barcodes)
    assert np.array_equal(table.obsm["spatial"], pairs.coords)
    assert json.loads(table.uns["provenance"]) == pairs.provenance | {"exported_from": pairs.fingerprint}
    joined, rows = spatialdata.join_spatialelement_table(sdata=data, spatial_element_names="pairs", table_name="table")
    assert list(rows.obs_names) == pairs.barcodes
    assert np.array_equal(np.stack([joined["pairs"].geometry.x, joined["pairs"].geometry.y], axis=1), pairs.coords)
    assert (circles.radius == spot_radius(pairs.coords)).all()
    assert (patches.dims, list(patches.c.values)) == (("c", "z", "y", "x"), ["r", "g", "b"])
    for number in (0, CHUNK, COUNT - 1):
        assert np.array_equal(patches.isel(z=table.obs["pair"].iloc[number]).transpose("y", "x", "c"), patch(number, 8))
    assert set(data.coordinate_systems) == {"global", "patches"}


def test_anndata_and_our_own_readers_see_the_same_expression_and_places(store, pairs):
    table = anndata.read_zarr(store / "tables" / "table")
    assert np.array_equal(table.X, pairs.expression)
    circles = read_circles(zarr.open_group(str(store), mode="r")["shapes/pairs"], store / "shapes" / "pairs")
    assert np.array_equal(circles.centres, pairs.coords)
    assert circles.names == [str(number) for number in table.obs["pair"]]


def test_synthetic_pairs_are_not_taken_for_spots(store):
    with pytest.raises(BadInput, match=r"holds the negative count .*; give raw counts"):
        read_spots(store, um_per_px=1.0)


def test_what_pairs_were_mixed_from_stays_behind(store):
    assert list(anndata.read_zarr(store / "tables" / "table").obs.columns) == ["region", "pair"]
    assert not [path for path in store.rglob("*") if path.name in MIXING]


def test_export_says_so_in_the_log(store, tmp_path, pairs):
    assert verify_chain(tmp_path / "audit.log") == 1
    line = json.loads((tmp_path / "audit.log").read_text())
    assert (line["kind"], line["path"]) == ("export", str(store))
    assert (line["content"]["format"], line["content"]["fingerprint"]) == ("spatialdata", pairs.fingerprint)
    assert line["bytes_out"] == sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def test_log_that_cannot_be_written_on_leaves_no_store(site, tmp_path):
    (tmp_path / "audit.log").write_text('{"incomplete')
    planned = plan_export(site, tmp_path / "out.zarr", policy=Policy(), format="spatialdata", without_privacy_check=True)
    with pytest.raises(BadArtefact, match="ends in an incomplete line"):
        write_export(planned, AuditLog(tmp_path / "audit.log"))
    assert not list(tmp_path.glob("*out.zarr*"))
    assert not list(tmp_path.glob(".out*"))


def test_damaged_pairs_leave_no_store(site, tmp_path):
    planned = plan_export(site, tmp_path / "out.zarr", policy=Policy(), format="spatialdata", without_privacy_check=True)
    (site.synthetic / "patches.h5").unlink()
    with pytest.raises(BadInput, match=r"out.zarr cannot be written"):
        write_export(planned, AuditLog(tmp_path / "audit.log"))
    assert not list(tmp_path.glob("*out.zarr*"))
    assert not (tmp_path / "audit.log").exists()


def test_observed_expression_needs_so_many_words_in_this_format_too(tmp_path, site):
    with writer(
        site.synthetic, 3, 8, provenance={"kind": "synthetic pairs", "expression": "observed"}, overwrite=True
    ) as pairs:
        pairs.append(np.stack([patch(number, 8) for number in range(3)]))
    with pytest.raises(BadInput, match="or pass --allow-observed"):
        plan_export(site, tmp_path / "out.zarr", policy=Policy(), format="spatialdata", without_privacy_check=True)


def test_missing_package_is_named_with_the_command_that_installs_it(tmp_path, site, monkeypatch):
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(BadInput, match=r"spatialdata package, which is not installed; run: pip install 'c2lst\[spatialdata\]'"):
        plan_export(site, tmp_path / "out.zarr", policy=Policy(), format="spatialdata", without_privacy_check=True)
    assert plan_export(site, tmp_path / "out", policy=Policy(), without_privacy_check=True).format == "hest"


def test_circles_touch_their_nearest_neighbours():
    grid = np.array([(x, y) for x in range(4) for y in range(4)], np.float64) * 20
    assert spot_radius(np.repeat(grid, 3, axis=0)) == 10.0
    assert spot_radius(grid[:1]) == 1.0


def test_patches_stream_through_memory(tmp_path):
    count, side = 30_000, 64  # 350 MiB of patches
    with writer(tmp_path / "pairs", count, side) as pairs:
        while pairs.done < count:
            pairs.append(np.zeros((min(2000, count - pairs.done), side, side, 3), np.uint8))
    code = (
        "import sys; from pathlib import Path; from resource import RUSAGE_SELF, getrusage\n"
        "from c2lst_client.export_spatialdata import write_store; from c2lst_client.spots.pairs import PairSet\n"
        "few, many, out = map(Path, sys.argv[1:])\n"
        "write_store(PairSet.open(few), {}, out / 'few.zarr'); before = getrusage(RUSAGE_SELF).ru_maxrss\n"
        "write_store(PairSet.open(many), {}, out / 'many.zarr'); print(getrusage(RUSAGE_SELF).ru_maxrss - before)\n"
    )
    with writer(tmp_path / "few", CHUNK, side) as pairs:
        pairs.append(np.zeros((CHUNK, side, side, 3), np.uint8))
    folders = [str(tmp_path / name) for name in ("few", "pairs", ".")]
    done = subprocess.run([sys.executable, "-c", code, *folders], cwd=TESTS, capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 100


def test_one_pair_is_a_store_too(tmp_path):
    import spatialdata

    with writer(tmp_path / "pairs", 1, 8) as pairs:
        pairs.append(patch(0, 8)[None])
        single = pairs.finish()
    write_store(single, single.provenance, tmp_path / "one.zarr")
    assert spatialdata.read_zarr(tmp_path / "one.zarr")["patches"].shape == (3, 1, 8, 8)
