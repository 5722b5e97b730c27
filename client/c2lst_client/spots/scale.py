"""Micrometres per pixel of a slide, from the known distance between neighbouring spots of an array."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput

PLAUSIBLE_UM_PER_PX = (0.05, 50.0)  # 40x scans have about 0.25, a thumbnail of a section about 20
NEIGHBOURS = 1.25  # times the median nearest distance: how far a neighbour on the grid may be
GIVEN = "--um-per-px"  # where a scale comes from that the user gives
AGREEMENT = 0.1  # a given scale that differs more than this from the spots' is mentioned


def pitch_px(centres: npt.NDArray[np.float64]) -> float:
    """Return the median distance between neighbouring spots, in pixels. `centres` is S x 2, S of 2 or more.

    Printed spots stray from their grid, and the *nearest* neighbour is the one that strayed this way: its distance alone
    is about 6 % short on real arrays. So all pairs up to `NEIGHBOURS` times that distance count, which leaves out the
    diagonals of a square grid (1.41) and the second ring of a hexagonal one (1.73).
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(centres)
    nearest = float(np.median(tree.query(centres, k=2)[0][:, 1]))
    pairs = tree.query_pairs(NEIGHBOURS * nearest, output_type="ndarray")
    return float(np.median(np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)))


def slide_scale(
    centres: npt.NDArray[np.float64], pitch_um: float | None, given: float | None, origin: str = GIVEN
) -> tuple[float, str]:
    """Decide the scale of a slide.

    Args:
        centres: S x 2 spot centres in pixels.
        pitch_um: distance between neighbouring spots of this kind of array, in micrometres; None if not known.
        given: micrometres per pixel as the user, or a file of the slide, says; wins when not None.
        origin: where `given` comes from, in words.

    Returns:
        Micrometres per pixel, and a sentence that says where it comes from.

    Raises:
        BadInput: the scale is neither given nor known, or is not plausible for a tissue image.
    """
    pitch = pitch_px(centres)
    if given is not None:
        _refuse_implausible(given, origin)
        note = f"Scale: {given:.4g} um/px, {'as given' if origin == GIVEN else f'from {origin}'}."
        if pitch_um is not None and not math.isclose(given * pitch, pitch_um, rel_tol=AGREEMENT):
            note += f" The spots would say {pitch_um / pitch:.4g} um/px (pitch {pitch:.1f} px for {pitch_um:g} um)."
        return given, note
    if pitch_um is None:
        raise BadInput("The scale of this image is not known; pass --um-per-px, the micrometres that one pixel shows.")
    scale = pitch_um / pitch
    _refuse_implausible(scale, f"the spot pitch ({pitch:.3g} px for {pitch_um:g} um)")
    return scale, f"Scale: {scale:.4g} um/px, from the spot pitch ({pitch:.1f} px for {pitch_um:g} um)."


def _refuse_implausible(scale: float, origin: str) -> None:
    low, high = PLAUSIBLE_UM_PER_PX
    if not low <= scale <= high:  # NaN fails as well
        raise BadInput(f"A scale of {scale:.4g} um/px from {origin} is not between {low:g} and {high:g}; pass --um-per-px.")
