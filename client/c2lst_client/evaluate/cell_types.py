"""Types of cells on real and on generated patches, by any network that can tell them.

Telling types takes a network trained on labelled nuclei, such as HoVer-Net trained on PanNuke (hovernet.py). None comes with
c2lst: its weights may not be passed on with it. Whatever counts nuclei of PanNuke's classes can be plugged in as a `CellTyper`.
N = spots, M = unadapted patches, C = classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.composition import check_spots
from c2lst_client.evaluate.nuclei import CHUNK, Pixels
from c2lst_client.evaluate.references import MIN_SPOTS
from c2lst_client.evaluate.results import Result
from c2lst_client.evaluate.spot_values import Floats, PerSpot, ValueComparison, compare_values
from c2lst_shared.errors import BadInput

# PanNuke's five types of nuclei (Gamper et al. 2020), after what a network found and could not name; HoVer-Net's own numbers.
PANNUKE_CLASSES = (
    "unlabelled",
    "neoplastic",
    "inflammatory",
    "connective",
    "dead",
    "non-neoplastic epithelial",
)

Counts = npt.NDArray[np.int64]


class CellTyper(Protocol):
    """Counts nuclei by type."""

    name: str  # with what identifies its weights

    def __call__(self, patches: Pixels, um_per_px: float) -> Counts:
        """Count the nuclei of each class of `PANNUKE_CLASSES` on patches N x P x P x 3, N x C."""


class CellTypes(Result):
    """How the types of cells on generated patches compare with those on real ones."""

    typer: str
    spots: int
    unadapted_patches: int
    limits: list[str]  # what was not compared, and why, in sentences
    densities: list[ValueComparison]  # nuclei per mm2 of each class, unlabelled ones left out
    shares: list[ValueComparison]  # of the named nuclei, over the spots where both patches have any


def compare_cell_types(
    typer: CellTyper,
    real: Pixels,
    generated: Pixels,
    *,
    um_per_px: float,
    unadapted: Pixels | None = None,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> CellTypes:
    """Compare density and share of each type of cell, spot by spot and as distributions.

    Args:
        typer: counts nuclei; it is given `CHUNK` patches at a time.
        real: N x P x P x 3.
        generated: N x P x P x 3, row i from the expression of spot i.
        um_per_px: of the patches.
        unadapted: M x P x P x 3, patches of the backbone without its adapter.
        centres: N x 2 positions of the spots.
        seed: of shuffles, halves and bootstrap.

    Raises:
        BadInput: the patches do not describe the same spots, there are too few, or the typer counts other classes.
    """
    check_spots(real, generated, centres)
    counts = [None if patches is None else _count(typer, patches, um_per_px) for patches in (real, generated, unadapted)]
    area_mm2 = real.shape[1] * real.shape[2] * um_per_px**2 * 1e-6
    densities: list[ValueComparison] = []
    shares: list[ValueComparison] = []
    limits = []
    for number, name in list(enumerate(PANNUKE_CLASSES))[1:]:
        per_area = PerSpot(*(None if count is None else count[:, number] / area_mm2 for count in counts))  # type: ignore[arg-type]
        of_labelled = PerSpot(*(None if count is None else _share(count, number) for count in counts))  # type: ignore[arg-type]
        density = compare_values(per_area, name=name, unit="per mm²", centres=centres, seed=seed)
        share = compare_values(of_labelled, name=f"{name}, share of named nuclei", unit="", centres=centres, seed=seed)
        densities += [] if density is None else [density]
        shares += [] if share is None else [share]
        if share is None:
            limits.append(f"Fewer than {MIN_SPOTS} spots have named nuclei on both patches: no share of {name} ones.")
    return CellTypes(
        typer=typer.name,
        spots=len(real),
        unadapted_patches=0 if unadapted is None else len(unadapted),
        limits=limits,
        densities=densities,
        shares=shares,
    )


def _count(typer: CellTyper, patches: Pixels, um_per_px: float) -> Counts:
    parts = [typer(patches[start : start + CHUNK], um_per_px) for start in range(0, len(patches), CHUNK)]
    counts = np.concatenate(parts)
    if counts.shape != (len(patches), len(PANNUKE_CLASSES)):
        raise BadInput(
            f"{typer.name} counts {counts.shape} of {len(patches)} patches; it must count the {len(PANNUKE_CLASSES)} classes "
            f"{', '.join(PANNUKE_CLASSES)} of each."
        )
    return counts


def _share(count: Counts, number: int) -> Floats:
    """Return the share of a class among the labelled nuclei of each patch, NaN where there are none."""
    labelled = count[:, 1:].sum(axis=1)
    return np.divide(count[:, number], labelled, out=np.full(len(count), np.nan), where=labelled > 0)
