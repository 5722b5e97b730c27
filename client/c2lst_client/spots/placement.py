"""Do positions and image belong together? Spots must lie on the image, and most of them on tissue.

When they do not, the likely mistakes are tried (axes swapped or mirrored, a scale factor left out), so that the error can say
what would put the spots on tissue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Picture

Centres = npt.NDArray[np.float64]  # S x 2: x, y in pixels of the slide

MIN_ON_TISSUE = 0.5  # fraction of the spots; fewer means that positions and image do not belong together
GOOD = 0.8  # fraction on tissue from which on a mistake is named as the cause
MUCH_BETTER = 0.15  # more of the spots on tissue: below, a section is simply symmetric
MASK_PX = 1000  # the tissue mask is made on an image of about this size
ALIKE = 0.03  # of two mistakes that explain as much, the simpler one is named
COARSE_PX = 150  # and scales are tried on one of this size
SCALES = 60  # tried, from the largest that fits the image to a quarter of it
MIN_COVERED = 0.6  # fraction of the tissue that has a spot near it: what tells one scale from another

Move = Callable[[Centres, Centres], Centres]  # centres, and width and height of the image -> centres

_MISTAKES: tuple[tuple[str, str, Move], ...] = (
    ("x and y swapped", "exchange the two columns", lambda at, size: at[:, ::-1]),
    ("x mirrored", "replace x by the image's width minus x", lambda at, size: at * (-1, 1) + size * (1, 0)),
    ("y mirrored", "replace y by the image's height minus y", lambda at, size: at * (1, -1) + size * (0, 1)),
    ("both axes mirrored", "turn the image by 180 degrees", lambda at, size: size - at),
    ("x and y swapped and x mirrored", "turn the image by 90 degrees", lambda at, size: at[:, ::-1] * (-1, 1) + size * (1, 0)),
    ("x and y swapped and y mirrored", "turn the image by 90 degrees", lambda at, size: at[:, ::-1] * (1, -1) + size * (0, 1)),
)


@dataclass(frozen=True)
class Tissue:
    """Where a slide shows tissue, reduced."""

    mask: npt.NDArray[np.bool_]
    factor: float  # pixels of the slide per pixel of the mask

    @classmethod
    def of(cls, slide: Picture, longest: int) -> Tissue:
        """Look for tissue on a slide reduced to about `longest` pixels."""
        from c2lst_shared.images.tissue import tissue_mask

        pixels, factor = slide.overview(longest)
        return cls(tissue_mask(pixels), factor)

    def share(self, centres: Centres) -> float:
        """Return the fraction of the spots that lie on tissue; those outside the slide do not."""
        columns, rows = np.floor(centres / self.factor).astype(int).T
        height, width = self.mask.shape
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        return float(self.mask[rows[inside], columns[inside]].sum() / len(centres))

    def covered(self, centres: Centres, reach: float) -> float:
        """Return the fraction of the tissue that lies within `reach` pixels of the slide from a spot."""
        from scipy.spatial import cKDTree

        rows, columns = np.nonzero(self.mask)
        if not len(rows):
            return 0.0
        places = (np.column_stack([columns, rows]) + 0.5) * self.factor
        distances, _ = cKDTree(centres).query(places, distance_upper_bound=reach)
        return float(np.isfinite(distances).mean())


def refuse_outside(centres: Centres, barcodes: Sequence[str], slide: Picture) -> None:
    """Refuse spots whose centre is not on the image, with the probable cause.

    Raises:
        BadInput: saying how many, one example, and what probably happened.
    """
    size = np.array(slide.size)
    outside = ((centres < 0) | (centres >= size)).any(axis=1)
    if not outside.any():
        return
    example = int(np.argmax(outside))
    x, y = centres[example]
    raise BadInput(
        f"{int(outside.sum())} of {len(centres)} spots lie outside {slide.path.name} ({size[0]} x {size[1]} px), such as "
        f"{barcodes[example]!r} at ({x:.1f}, {y:.1f}); {_why_outside(centres, slide)}"
    )


def refuse_off_tissue(centres: Centres, slide: Picture, notes: list[str]) -> None:
    """Refuse spots that mostly lie beside the tissue; note it when another way round would fit much better.

    Raises:
        BadInput: saying how many lie on tissue, and what would put them there.
    """
    tissue = Tissue.of(slide, MASK_PX)
    share = tissue.share(centres)
    if share >= GOOD:
        return
    size = np.array(slide.size, float)
    fits = [(tissue.share(move(centres, size)), what, remedy) for what, remedy, move in _MISTAKES]
    highest = max(fit[0] for fit in fits)
    best, what, remedy = next(fit for fit in fits if fit[0] >= highest - ALIKE)
    found = f"{share:.0%} of the spots lie on tissue in {slide.path.name}"
    if best >= max(GOOD, share + MUCH_BETTER):
        cause = f"with {what} {best:.0%} would: {remedy}."
        if share >= MIN_ON_TISSUE:
            notes.append(f"Warning: {found}; {cause}")
            return
        raise BadInput(f"Only {found}; {cause}")
    if share >= MIN_ON_TISSUE:
        return
    if scale := fitting_scale(centres, slide):
        raise BadInput(
            f"Only {found}; multiplied by about {scale:.3g} most would: give the image that the positions belong to, or apply "
            "the scale factor to them."
        )
    raise BadInput(
        f"Only {found}, and neither swapping, mirroring nor scaling the positions would change that; the image seems to be of "
        "another slide: give the one that the positions were made on."
    )


def fitting_scale(centres: Centres, slide: Picture) -> float | None:
    """Return the number that positions must be multiplied with to lie all over the tissue; None when there is none.

    It is about right when the spots cover the tissue, and cannot be told when they cover a small part of it.
    """
    from c2lst_client.spots.scale import pitch_px

    if len(centres) < 2:
        return None
    tissue = Tissue.of(slide, COARSE_PX)
    pitch = pitch_px(centres)
    largest = float((np.array(slide.size) / np.maximum(centres.max(axis=0), 1e-9)).min())

    def fit(scale: float) -> float:
        on_tissue = tissue.share(centres * scale)
        return on_tissue * tissue.covered(centres * scale, pitch * scale) if on_tissue >= GOOD else 0.0

    best = max(np.geomspace(largest, largest / 4, SCALES).tolist(), key=fit)
    fits = fit(best) >= GOOD * MIN_COVERED
    return best if fits and abs(best - 1) > 0.1 else None  # 1 is what was read


def _why_outside(centres: Centres, slide: Picture) -> str:
    size = np.array(slide.size)
    swapped = centres[:, ::-1]
    if ((swapped >= 0) & (swapped < size)).all():
        return "x and y seem to be swapped: exchange the two columns."
    if (centres < 0).any():
        return "some positions are negative: give positions in pixels from the image's upper left corner."
    largest = float((centres / size).max())
    copy = f"the image seems to be a smaller copy (at least {largest:.1f} x)"
    if scale := fitting_scale(centres, slide):
        return f"{copy}: give the image that the positions belong to, or multiply them by about {scale:.3g}, which would fit."
    return f"{copy}: give the image that the positions belong to."
