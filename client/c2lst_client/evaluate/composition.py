"""What tissue a patch is made of, measured on real and generated patches alike: nuclei, stroma, emptiness.

Built in and without weights: shares of area by colour, and single nuclei by watershed (nuclei_outlines.py) where the resolution
allows it. Types of cells need a trained network (cell_types.py). N = spots, M = unadapted patches, P = side in px.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from c2lst_client.evaluate.nuclei import CHUNK, Pixels, nuclear_fraction, nuclear_threshold
from c2lst_client.evaluate.nuclei_outlines import MIN_ACROSS_PX, NUCLEUS_UM, Labels, countable, outline_nuclei
from c2lst_client.evaluate.references import MIN_SPOTS
from c2lst_client.evaluate.results import Result
from c2lst_client.evaluate.spot_values import Floats, PerSpot, ValueComparison, compare_values
from c2lst_shared.errors import BadInput

EMPTY_DENSITY = (
    0.10  # optical density (natural logarithm, mean of the channels) below which a pixel is glass or fat, not tissue
)
SMOOTHING_PX = 1.0  # of that density, so that noise makes no holes

WORDS = {  # of the fields of `PatchComposition`: name and unit
    "nuclear": ("nuclear share of the area", ""),
    "stroma": ("tissue without nuclei, share of the area", ""),
    "empty": ("empty share of the area", ""),
    "nuclei_per_mm2": ("nuclei", "per mm²"),
    "nuclear_area": ("mean area of a nucleus", "µm²"),
    "eccentricity": ("mean eccentricity of nuclei", ""),
}


class PatchComposition(NamedTuple):
    """What patches are made of, one value per patch; the last three only where nuclei can be counted."""

    nuclear: Floats  # shares of the area, which sum to 1
    stroma: Floats
    empty: Floats
    nuclei_per_mm2: Floats | None
    nuclear_area: Floats | None  # um2, mean over the nuclei that lie wholly in the patch; NaN where there are none
    eccentricity: Floats | None  # 0 for a circle, near 1 for a spindle; likewise


class Composition(Result):
    """How the composition of generated patches compares with that of real ones."""

    um_per_px: float
    spots: int
    unadapted_patches: int
    threshold: float  # of haematoxylin, found on real patches and used for all
    countable: bool  # whether single nuclei were measured
    limits: list[str]  # what was not measured, and why, in sentences
    measures: list[ValueComparison]


def measure_composition(patches: Pixels, *, threshold: float, um_per_px: float) -> PatchComposition:
    """Measure each patch, N x P x P x 3.

    Args:
        patches: in the colours that the threshold was found in.
        threshold: of haematoxylin, from `nuclear_threshold` of real patches.
        um_per_px: of the patch, its side in um over P.
    """
    nuclear = nuclear_fraction(patches, threshold)
    empty = np.minimum(_empty_share(patches), 1 - nuclear)  # the smoothing may call the rim of a nucleus empty
    shares = (nuclear, 1 - nuclear - empty, empty)
    if not countable(um_per_px):
        return PatchComposition(*shares, None, None, None)
    measured = [_nuclei(outline_nuclei(patch, threshold, um_per_px), um_per_px) for patch in patches]
    return PatchComposition(*shares, *np.array(measured, np.float64).reshape(-1, 3).T)


def compare_composition(
    real: Pixels,
    generated: Pixels,
    *,
    um_per_px: float,
    unadapted: Pixels | None = None,
    threshold: float | None = None,
    centres: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> Composition:
    """Compare generated with real patches, spot by spot and as distributions.

    Args:
        real: N x P x P x 3.
        generated: N x P x P x 3, row i from the expression of spot i.
        um_per_px: of the patches, their side in um over P.
        unadapted: M x P x P x 3, patches of the backbone without its adapter.
        threshold: of haematoxylin, from `nuclear_threshold` of the training spots' patches; of `real` when not given.
        centres: N x 2 positions of the spots; with them intervals respect that neighbours are alike.
        seed: of shuffles, halves and bootstrap.

    Raises:
        BadInput: the patches do not describe the same spots, or there are too few.
    """
    check_spots(real, generated, centres)
    if not um_per_px > 0:
        raise BadInput(f"{um_per_px} um per px is no resolution; give the side of a patch in um over its side in px.")
    threshold = nuclear_threshold(real) if threshold is None else threshold
    found = [
        None if patches is None else measure_composition(patches, threshold=threshold, um_per_px=um_per_px)
        for patches in (real, generated, unadapted)
    ]
    limits = [] if countable(um_per_px) else [_too_coarse(um_per_px)]
    measures = []
    for field, (name, unit) in WORDS.items():
        of_real, of_generated, of_unadapted = (None if one is None else getattr(one, field) for one in found)
        if of_real is None or of_generated is None:
            continue
        values = PerSpot(of_real, of_generated, of_unadapted)
        measure = compare_values(values, name=name, unit=unit, centres=centres, seed=seed)
        if measure is None:
            limits.append(f"Fewer than {MIN_SPOTS} spots have nuclei on both patches, so the {name} is not compared.")
        else:
            measures.append(measure)
    return Composition(
        um_per_px=um_per_px,
        spots=len(real),
        unadapted_patches=0 if unadapted is None else len(unadapted),
        threshold=threshold,
        countable=countable(um_per_px),
        limits=limits,
        measures=measures,
    )


def check_spots(real: Pixels, generated: Pixels, centres: npt.NDArray[np.floating] | None) -> None:
    """Refuse patches that do not pair.

    Raises:
        BadInput: they differ in number or size, there are fewer than `MIN_SPOTS`, or the positions are of other spots.
    """
    if real.shape != generated.shape:
        raise BadInput(
            f"Generated patches {generated.shape} do not pair with real ones {real.shape}; generate one for each spot."
        )
    if len(real) < MIN_SPOTS:
        raise BadInput(f"{len(real)} spots are too few to compare; give at least {MIN_SPOTS}.")
    if centres is not None and len(centres) != len(real):
        raise BadInput(f"There are {len(centres)} positions for {len(real)} real patches; give those of the same spots.")


def _too_coarse(um_per_px: float) -> str:
    return (
        f"At {um_per_px:.2f} um per px a nucleus is about {NUCLEUS_UM / um_per_px:.1f} px across, and fewer than "
        f"{MIN_ACROSS_PX:.0f} do not tell nuclei apart: only shares of the area are measured."
    )


def _empty_share(patches: Pixels) -> Floats:
    """Return the share of pixels that hardly absorb light, N; patches are on a white background."""
    from scipy.ndimage import gaussian_filter

    shares = [np.empty(0)]
    for start in range(0, len(patches), CHUNK):
        light = np.maximum(patches[start : start + CHUNK], 1).astype(np.float32) / 255
        density = gaussian_filter(-np.log(light).mean(axis=-1), sigma=(0, SMOOTHING_PX, SMOOTHING_PX))
        shares.append((density < EMPTY_DENSITY).mean(axis=(1, 2)))
    return np.concatenate(shares)


def _nuclei(labels: Labels, um_per_px: float) -> tuple[float, float, float]:
    """Return nuclei per mm2, and the mean of area in um2 and of eccentricity.

    A nucleus on the edge counts in one of the two patches that share it: those that touch the upper or the left edge are left
    out (the rule of Gundersen 1977). Area and shape are those of nuclei that touch no edge.
    """
    from skimage.measure import regionprops_table

    table = regionprops_table(labels, properties=("area", "eccentricity", "bbox"))
    top, left, bottom, right = (table[f"bbox-{side}"] for side in range(4))
    counted = (top > 0) & (left > 0)
    whole = counted & (bottom < labels.shape[0]) & (right < labels.shape[1])
    density = counted.sum() / (labels.size * um_per_px**2 * 1e-6)
    if not whole.any():
        return float(density), float("nan"), float("nan")
    return float(density), float(table["area"][whole].mean() * um_per_px**2), float(table["eccentricity"][whole].mean())
