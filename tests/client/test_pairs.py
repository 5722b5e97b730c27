"""Pairs: nothing is lost by a kill at any moment, nothing of another make is mixed in, nothing incomplete is read."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from fakes.pair_process import patch, writer

from c2lst_client.spots.pairs import PairSet
from c2lst_shared.errors import BadArtefact, BadInput

TESTS = Path(__file__).parents[1]


def batch(start, stop, side=16):
    return np.stack([patch(number, side) for number in range(start, stop)])


def written(folder, count=9, side=16, **changes):
    with writer(folder, count, side, **changes) as pairs:
        pairs.append(batch(pairs.done, count, side))
        return pairs.finish()


def start_process(folder, count, side=16):
    return subprocess.Popen(
        [sys.executable, "-m", "fakes.pair_process", str(folder), str(count), str(side)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_pairs_read_back_as_written(tmp_path):
    pairs = written(tmp_path)
    assert len(pairs) == 9
    assert pairs.image_px == 16
    assert pairs.genes == list("abcde")
    assert pairs.barcodes[8] == "synthetic-00008"
    assert pairs.obs["source"].tolist()[:3] == ["spot0", "spot1", "spot2"]
    assert pairs.provenance == {"kind": "synthetic pairs", "guidance": 3.0, "seeds": [1, 2]}
    assert pairs.expression.dtype == np.float32
    assert np.array_equal(pairs.expression, np.random.default_rng(9).standard_normal((9, 5)).astype(np.float32))
    assert np.array_equal(pairs.coords, np.arange(18.0).reshape(9, 2))
    assert np.array_equal(pairs.patches(range(9)), batch(0, 9))


def test_patches_come_in_the_order_asked_for(tmp_path):
    pairs = written(tmp_path)
    wanted = [7, 0, 7, 3]
    assert np.array_equal(pairs.patches(wanted), np.stack([patch(number, 16) for number in wanted]))
    assert np.array_equal(pairs.patches(np.array([2])), batch(2, 3))
    assert pairs.patches([]).shape == (0, 16, 16, 3)
    for index in (9, -1):
        with pytest.raises(IndexError, match=f"pair {index} of 9"):
            pairs.patches([index])


def test_files_have_the_layout_of_hest(tmp_path):
    written(tmp_path)
    with h5py.File(tmp_path / "patches.h5") as file:
        assert file["img"].shape == (9, 16, 16, 3)
        assert file["img"].dtype == np.uint8
        assert file["img"].chunks is None
        assert file["coords"].shape == (9, 2)
        assert file["barcode"].shape == (9, 1)
        assert file["barcode"][3, 0].decode() == "synthetic-00003"
        assert np.array_equal(file["img"][:], batch(0, 9))
    data = anndata.read_h5ad(tmp_path / "expression.h5ad")
    assert data.obs_names[3] == "synthetic-00003"
    assert data.var_names.tolist() == list("abcde")
    assert data.obsm["spatial"].tolist()[1] == [2.0, 3.0]


def test_stopped_writer_goes_on_at_the_first_pair_not_done(tmp_path):
    with writer(tmp_path, 9, 16) as pairs:
        pairs.append(batch(0, 4))
    with pytest.raises(BadInput, match="has 4 of 9 patches; run the step that makes them again to finish it"):
        PairSet.open(tmp_path)
    with writer(tmp_path, 9, 16) as pairs:
        assert pairs.done == 4
        with pytest.raises(ValueError, match="from number 4 on"):
            pairs.append(batch(0, 6))
        pairs.append(batch(4, 9))
        assert np.array_equal(pairs.finish().patches(range(9)), batch(0, 9))


def test_finish_refuses_what_is_not_complete(tmp_path):
    with writer(tmp_path, 9, 16) as pairs, pytest.raises(BadInput, match="has 0 of 9 patches"):
        pairs.finish()


@pytest.mark.slow
def test_killed_process_leaves_a_file_that_reads_and_the_next_one_finishes_it(tmp_path):
    for stop_after in (0, 3, 40):
        process = start_process(tmp_path, 60)
        for line in process.stdout:
            if int(line) >= stop_after:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        with h5py.File(tmp_path / "patches.h5") as file:
            done = int(file["done"][:].sum())
            assert file["done"][:done].all()
            assert done >= stop_after
            assert np.array_equal(
                file["img"][:done], np.stack([patch(n, 16) for n in range(done)]) if done else file["img"][:0]
            )
    finishing = start_process(tmp_path, 60)
    first = int(finishing.stdout.readline())
    assert 40 <= first <= 60
    finishing.communicate()
    assert finishing.returncode == 0
    assert np.array_equal(PairSet.open(tmp_path).patches(range(60)), batch(0, 60))


@pytest.mark.slow
def test_kill_while_the_files_are_laid_out_is_recovered_from(tmp_path):
    process = start_process(tmp_path, 60)
    while not list(tmp_path.glob("*")) and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    assert np.array_equal(written(tmp_path, 60).patches(range(60)), batch(0, 60))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path):
    peaks = []
    for count in (50, 600):
        process = start_process(tmp_path / str(count), count, 256)  # 10 MB and 118 MB of patches
        output, _ = process.communicate()
        peaks.append(int(output.split()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 60


def test_complete_pairs_are_found_complete_by_the_same_call(tmp_path):
    written(tmp_path)
    before = (tmp_path / "patches.h5").read_bytes()
    with writer(tmp_path, 9, 16) as pairs:
        assert pairs.done == len(pairs) == 9
        pairs.finish()
    assert (tmp_path / "patches.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"provenance": {"kind": "synthetic pairs", "guidance": 1.0, "seeds": [1, 2]}}, "guidance"),
        ({"provenance": {"kind": "real pairs"}}, "guidance, kind, seeds"),
        ({"genes": list("abcdf")}, "the spots themselves"),
        ({"expression": np.zeros((9, 5), np.float32)}, "the spots themselves"),
        ({"image_px": 8}, "the spots themselves"),
    ],
    ids=["guidance", "kind", "genes", "expression", "size"],
)
def test_folder_of_another_make_is_refused_or_replaced(tmp_path, change, named):
    written(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        BadInput, match=rf"made otherwise \(differs: {named}\); use another folder, or replace it with --overwrite"
    ):
        writer(tmp_path, 9, 16, **change)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with writer(tmp_path, 9, 16, overwrite=True, **change) as pairs:
        assert pairs.done == 0


def test_overwrite_keeps_what_is_the_same(tmp_path):
    with writer(tmp_path, 9, 16) as pairs:
        pairs.append(batch(0, 4))
    with writer(tmp_path, 9, 16, overwrite=True) as pairs:
        assert pairs.done == 4


def test_patches_of_someone_else_are_not_replaced_unasked(tmp_path):
    with h5py.File(tmp_path / "patches.h5", "w") as file:
        file["img"] = np.zeros((3, 4, 4, 3), np.uint8)
    with pytest.raises(BadInput, match="made otherwise"):
        writer(tmp_path, 9, 16)
    assert written(tmp_path, overwrite=True).image_px == 16


def test_second_writer_is_refused(tmp_path):
    with writer(tmp_path, 9, 16), pytest.raises(BadInput, match=r"patches.h5 is in use by another process"):
        process_writer_in_a_second_open_file(tmp_path)


def process_writer_in_a_second_open_file(folder):
    output = subprocess.run(
        [sys.executable, "-m", "fakes.pair_process", str(folder), "9", "16"], cwd=TESTS, capture_output=True, text=True
    )
    assert output.returncode == 1
    last = output.stderr.strip().splitlines()[-1]
    assert last.startswith("c2lst_shared.errors.BadInput: ")
    raise BadInput(last)


def test_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"holds no pairs \(patches.h5 and expression.h5ad\); run the step"):
        PairSet.open(tmp_path)


def test_foreign_expression_is_refused(tmp_path):
    anndata.AnnData(np.zeros((2, 2), np.float32)).write_h5ad(tmp_path / "expression.h5ad")
    with pytest.raises(BadArtefact, match="does not say how it was made"):
        writer(tmp_path, 9, 16)


@pytest.mark.parametrize("name", ["patches.h5", "expression.h5ad"])
def test_damaged_file_is_refused(tmp_path, name):
    written(tmp_path)
    content = (tmp_path / name).read_bytes()
    for damage in (content[: len(content) // 2], b"", b"x" * 4000):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(BadArtefact, match=name):
            PairSet.open(tmp_path)
        with pytest.raises(BadArtefact, match=name):
            writer(tmp_path, 9, 16)


def test_damaged_expression_is_refused_when_it_is_read(tmp_path):
    written(tmp_path)
    with h5py.File(tmp_path / "expression.h5ad", "r+") as file:
        file["X"].attrs["encoding-type"] = "nothing"
        del file["obsm/spatial"]
    pairs = PairSet.open(tmp_path)
    with pytest.raises(BadArtefact, match=r"expression.h5ad is damaged \(No read method"):
        _ = pairs.expression
    with pytest.raises(BadArtefact, match=r"expression.h5ad is damaged"):
        _ = pairs.coords


def test_files_of_two_sets_are_refused(tmp_path):
    written(tmp_path / "a")
    written(tmp_path / "b", 8)
    (tmp_path / "a" / "patches.h5").replace(tmp_path / "b" / "patches.h5")
    with pytest.raises(BadArtefact, match="do not belong together"):
        PairSet.open(tmp_path / "b")


@pytest.mark.parametrize(
    "change",
    [
        {"barcodes": ["a"] * 9},
        {"barcodes": ["a", "b"]},
        {"genes": ["a"]},
        {"coords": np.zeros((3, 2))},
        {"obs": {"source": ["a"]}},
    ],
    ids=["twice", "barcodes", "genes", "coords", "obs"],
)
def test_parts_that_do_not_fit_are_a_mistake_of_the_caller(tmp_path, change):
    with pytest.raises(ValueError, match="barcodes"):
        writer(tmp_path, 9, 16, **change)
    assert not list(tmp_path.iterdir())
