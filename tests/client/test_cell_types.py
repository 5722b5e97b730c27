"""Any typer of PanNuke's classes can be plugged in; HoVer-Net's adapter asks for what it lacks in one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from fakes.drawn_nuclei import drawn_nuclei

from c2lst_client.evaluate.cell_types import PANNUKE_CLASSES, CellTyper, CellTypes, compare_cell_types
from c2lst_client.evaluate.hovernet import ANSWERED, SEEN, HoverNetTyper, count_by_type, load_hovernet
from c2lst_shared.errors import BadInput

SPOTS = 30
NEOPLASTIC, INFLAMMATORY = 1, 2


class StainTyper:
    """Takes the patch's red for its neoplastic nuclei and its green for its inflammatory ones."""

    name = "stain typer"

    def __call__(self, patches: np.ndarray, um_per_px: float) -> np.ndarray:
        assert um_per_px == 0.5
        counts = np.zeros((len(patches), len(PANNUKE_CLASSES)), np.int64)
        counts[:, NEOPLASTIC] = patches[..., 0].mean(axis=(1, 2))
        counts[:, INFLAMMATORY] = patches[..., 1].mean(axis=(1, 2))
        return counts


def tissue(seed: int, neoplastic: np.ndarray | None = None) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 60, (SPOTS, 1, 1, 3), dtype=np.uint8)
    if neoplastic is not None:
        levels[:, 0, 0, 0] = neoplastic
    return np.repeat(np.repeat(levels, 20, axis=1), 20, axis=2)


def compare(real: np.ndarray, generated: np.ndarray, typer: CellTyper | None = None) -> CellTypes:
    return compare_cell_types(typer or StainTyper(), real, generated, um_per_px=0.5, unadapted=tissue(7))


def test_class_that_follows_is_told_from_one_that_does_not() -> None:
    real = tissue(1)
    found = compare(real, tissue(5, neoplastic=real[:, 0, 0, 0]))
    densities = {one.name: one for one in found.densities}
    assert list(densities) == list(PANNUKE_CLASSES[1:])
    assert densities["neoplastic"].concordance.value == pytest.approx(1)
    unrelated = densities["inflammatory"]
    assert unrelated.concordance_shuffled.low < unrelated.concordance.value < unrelated.concordance_shuffled.high
    assert densities["neoplastic"].real[0] == pytest.approx(real[0, 0, 0, 0] / (10 * 10 * 1e-6))
    assert densities["dead"].real_mean.value == densities["dead"].r.value == 0
    shares = {one.name.split(",")[0]: np.array(one.real) for one in found.shares}
    np.testing.assert_allclose(sum(shares.values()), 1)
    assert (found.typer, found.spots, found.unadapted_patches, found.limits) == ("stain typer", SPOTS, SPOTS, [])


def test_patches_without_nuclei_have_no_shares_and_say_so() -> None:
    found = compare(tissue(1), np.zeros_like(tissue(1)))
    assert found.shares == []
    assert found.limits[0] == "Fewer than 8 spots have named nuclei on both patches: no share of neoplastic ones."


def test_typer_of_other_classes_is_refused() -> None:
    class Two(StainTyper):
        def __call__(self, patches: np.ndarray, um_per_px: float) -> np.ndarray:
            return super().__call__(patches, um_per_px)[:, :2]

    with pytest.raises(BadInput, match="it must count the 6 classes unlabelled, neoplastic"):
        compare(tissue(1), tissue(2), Two())


def test_nucleus_is_of_the_class_of_most_of_its_named_pixels() -> None:
    instances, types = np.zeros((8, 8), int), np.zeros((8, 8))
    instances[2:4, 2:6] = 1
    types[2:4, 2:6] = [0, 0, 4, 2]  # four pixels without a name, two of class 4, two of class 2: the lower number of equals
    types[2, 3] = 4
    instances[5:7, 5:8] = 2  # touches the right edge: counted here; no pixel has a name
    instances[5:7, 0:2] = 3  # touches the left edge: counted by the neighbour
    assert count_by_type(instances, types).tolist() == [1, 0, 0, 0, 1, 0]
    assert count_by_type(np.zeros((4, 4), int), np.zeros((4, 4))).tolist() == [0] * 6


class _Bright:
    """Stands in for tiatoolbox's network: dark pixels are nuclei of class 3; answers for the middle of what it sees."""

    def eval(self) -> _Bright:
        return self

    def requires_grad_(self, _: bool) -> _Bright:
        return self

    def to(self, _: object) -> _Bright:
        return self

    def __call__(self, images):  # type: ignore[no-untyped-def]
        import torch

        assert images.shape[2:] == (SEEN, SEEN)
        margin = (SEEN - ANSWERED) // 2
        dark = (images[:, :1, margin:-margin, margin:-margin] < 150).float()
        flat = torch.zeros_like(dark)
        kind = torch.cat([flat, flat, flat, 2 * dark, flat, flat], dim=1)
        return {"np": torch.cat([flat, 40 * dark - 20], dim=1), "hv": torch.cat([flat, flat], dim=1), "tp": kind}

    @staticmethod
    def _proc_np_hv(nuclear: np.ndarray, _: np.ndarray) -> np.ndarray:
        from scipy.ndimage import label

        return label(nuclear[..., 0] > 0.5)[0]


def test_hovernet_sees_the_whole_patch_tile_by_tile() -> None:
    patches = drawn_nuclei([3, 11])
    counts = HoverNetTyper(_Bright(), "fake")(patches, 0.86)
    assert counts.tolist() == [[0, 0, 0, 3, 0, 0], [0, 0, 0, 11, 0, 0]]


def test_missing_tiatoolbox_gives_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hovernet.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tiatoolbox", None)
    with pytest.raises(BadInput, match="in an environment of its own run: pip install tiatoolbox"):
        load_hovernet(tmp_path / "hovernet.safetensors")


@pytest.mark.parametrize("name", ["hovernet.pth", "absent.safetensors"])
def test_pickled_or_missing_weights_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "hovernet.pth").write_bytes(b"")
    with pytest.raises(BadInput, match=f"{name} is no .safetensors file; convert"):
        load_hovernet(tmp_path / name)
