"""The checks that everything read from a lab passes before it becomes a SpotSet: `checked` is the only way to one.

A reader hands over what it `Found`, unbelieved. Each check either passes, repairs and leaves a note for the user, or raises
BadInput with one sentence that names an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_client.spots.scale import GIVEN, slide_scale
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Picture

MIN_SPOTS = 20
MIN_LIBRARY = 0.01  # of the slide's median total count; mob has spots with 3 and 7 counts among a median of 27,000
MAX_COUNT = 2**31 - 1  # what an int32 holds; more is no count of molecules
MIN_ON_TISSUE = 0.5  # fraction of the spots; fewer means that positions and image do not belong together
MASK_PX = 1000  # the tissue mask is made on an image of about this size
LOG_MAX = 30.0  # log-transformed counts stay below; used only to word the message

Centres = npt.NDArray[np.float64]


@dataclass
class Found:
    """What a reader found. C = rows of the count table, G = its columns, P = spots with a position."""

    counts: scipy.sparse.csr_matrix  # C x G, any numbers
    count_barcodes: list[str]  # C
    genes: list[str]  # G
    spot_barcodes: list[str]  # P
    centres: Centres  # P x 2: x, y in pixels of `slide`
    slide: Picture
    source: str  # the format, in words
    counts_from: str  # what the count table is called, for sentences
    spots_from: str  # what the position table is called
    pitch_um: float | None  # distance of neighbouring spots on this kind of array
    um_per_px: float | None  # as the user or the files say
    um_per_px_from: str = GIVEN  # who says so
    notes: list[str] = field(default_factory=list)


def checked(found: Found) -> SpotSet:
    """Return the SpotSet of what a reader found.

    Raises:
        BadInput: what was found cannot be used; the sentence says why and what to do.
    """
    from c2lst_shared.images.tissue import check_h_and_e

    notes = list(found.notes)
    unique_names(found.count_barcodes, "spot", found.counts_from)
    unique_names(found.spot_barcodes, "spot", found.spots_from)
    counts = whole_counts(found.counts, found.count_barcodes, found.genes, found.counts_from)
    counts, genes = merged_genes(counts, found.genes, found.counts_from, notes)
    rows, places = _joined(found, notes)
    rows, places = _with_counts(counts, rows, places, notes)
    if len(rows) < MIN_SPOTS:
        raise BadInput(f"{found.counts_from} gives {len(rows)} usable spots and {MIN_SPOTS} are needed; use a larger section.")
    barcodes = [found.count_barcodes[row] for row in rows]
    centres = found.centres[places]
    _refuse_coincident(centres, barcodes, found.spots_from)
    refuse_outside(centres, barcodes, found.slide)
    check_h_and_e(found.slide)
    _refuse_off_tissue(centres, found.slide)
    um_per_px, scale_note = slide_scale(centres, found.pitch_um, found.um_per_px, found.um_per_px_from)
    notes.append(scale_note)
    return SpotSet(barcodes, genes, counts[rows], centres, found.slide, um_per_px, found.source, notes)


def unique_names(names: Sequence[str], kind: str, where: str) -> None:
    """Refuse an empty name, or a name that comes twice.

    Raises:
        BadInput: naming the first such name.
    """
    if not names:
        raise BadInput(f"{where} holds no {kind}s; check that it is the right file.")
    if "" in names:
        raise BadInput(f"{where} has a {kind} without a name at position {list(names).index('') + 1}; name it or remove it.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise BadInput(f"{where} has the {kind} {name!r} {times} times; keep one of them.")


def looks_raw(matrix: scipy.sparse.csr_matrix) -> bool:
    """Say whether all finite values are whole numbers, as raw counts are."""
    finite = matrix.data[np.isfinite(matrix.data)]
    return bool(np.all(finite == np.rint(finite)))


def whole_counts(
    matrix: scipy.sparse.csr_matrix, barcodes: Sequence[str], genes: Sequence[str], where: str
) -> scipy.sparse.csr_matrix:
    """Return `matrix` (S x G) as int32, without stored zeros.

    Raises:
        BadInput: a value is NaN, infinite, negative, not whole or too large; the sentence names the first one's spot and gene.
    """

    def first(bad: npt.NDArray[np.bool_]) -> str:
        position = int(np.argmax(bad))
        row = int(np.searchsorted(matrix.indptr, position, side="right")) - 1
        return f"{matrix.data[position]} (spot {barcodes[row]!r}, gene {genes[matrix.indices[position]]!r})"

    if matrix.shape != (len(barcodes), len(genes)):
        raise BadInput(f"{where} holds {matrix.shape} counts for {len(barcodes)} spots and {len(genes)} genes; write it again.")
    if (bad := ~np.isfinite(matrix.data)).any():
        raise BadInput(f"{where} holds {first(bad)}, where a count is needed; correct or remove such values.")
    if (bad := matrix.data < 0).any():
        raise BadInput(f"{where} holds the negative count {first(bad)}; give raw counts, not scaled or corrected values.")
    if (bad := matrix.data != np.rint(matrix.data)).any():
        guess = "log-transformed" if matrix.data.max() < LOG_MAX else "normalised"
        raise BadInput(f"{where} holds {first(bad)}, so it looks {guess}; give the raw counts, which are whole numbers.")
    if (bad := matrix.data > MAX_COUNT).any():
        raise BadInput(f"{where} holds {first(bad)}, too large for a count; give the raw counts.")
    whole = matrix.astype(np.int32)
    whole.eliminate_zeros()
    return whole


def merged_genes(
    counts: scipy.sparse.csr_matrix, genes: Sequence[str], where: str, notes: list[str]
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Sum the columns of genes that come more than once, in the order of first appearance, and note it.

    Raises:
        BadInput: a gene without a name, or no genes.
    """
    unique = list(dict.fromkeys(genes))
    if "" in unique or not unique:
        unique_names(list(genes), "gene", where)
    if len(unique) == len(genes):
        return counts, unique
    target = {gene: column for column, gene in enumerate(unique)}
    pairs = (np.ones(len(genes), np.int64), (np.arange(len(genes)), [target[gene] for gene in genes]))
    summed = scipy.sparse.csr_matrix(counts @ scipy.sparse.csr_matrix(pairs, shape=(len(genes), len(unique))))
    twice = [gene for gene, times in Counter(genes).items() if times > 1]
    notes.append(f"{len(twice)} genes come more than once in {where} and were summed, such as {twice[0]}.")
    row_names = [f"row {row + 1}" for row in range(summed.shape[0])]
    return whole_counts(summed, row_names, unique, where), unique


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
    swapped = centres[:, ::-1]
    if ((swapped >= 0) & (swapped < size)).all():
        cause = "x and y seem to be swapped: exchange the two columns."
    elif (centres < 0).any():
        cause = "some positions are negative: give positions in pixels from the image's upper left corner."
    else:
        factor = float((centres / size).max())
        cause = f"the image seems to be a smaller copy (at least {factor:.1f} x): give the image that the positions belong to."
    x, y = centres[example]
    raise BadInput(
        f"{int(outside.sum())} of {len(centres)} spots lie outside {slide.path.name} ({size[0]} x {size[1]} px), such as "
        f"{barcodes[example]!r} at ({x:.1f}, {y:.1f}); {cause}"
    )


def _joined(found: Found, notes: list[str]) -> tuple[list[int], list[int]]:
    """Pair rows of the counts with positions by barcode, in the order of the counts."""
    place_of = {barcode: place for place, barcode in enumerate(found.spot_barcodes)}
    rows = [row for row, barcode in enumerate(found.count_barcodes) if barcode in place_of]
    if not rows:
        hint = "check that both belong to one slide"
        if set(found.genes) & set(found.spot_barcodes):
            hint = "its columns carry the spots' names: transpose it to one row per spot"
        raise BadInput(
            f"{found.counts_from} (such as {found.count_barcodes[0]!r}) and {found.spots_from} "
            f"(such as {found.spot_barcodes[0]!r}) have no spot in common; {hint}."
        )
    without_position = len(found.count_barcodes) - len(rows)
    without_counts = len(found.spot_barcodes) - len(rows)
    if without_position or without_counts:
        notes.append(
            f"{len(rows)} spots are in both tables and are kept; {without_position} without a position and "
            f"{without_counts} without counts are left out."
        )
    return rows, [place_of[found.count_barcodes[row]] for row in rows]


def _with_counts(
    counts: scipy.sparse.csr_matrix, rows: list[int], places: list[int], notes: list[str]
) -> tuple[list[int], list[int]]:
    """Leave out spots that hardly caught a transcript: normalised to the others' library size they are mere noise."""
    libraries = np.asarray(counts[rows].sum(axis=1, dtype=np.float64)).ravel()
    least = MIN_LIBRARY * float(np.median(libraries))
    kept = [pair for pair, library in zip(zip(rows, places, strict=True), libraries, strict=True) if library > least]
    if len(kept) < len(rows):
        notes.append(f"Left out for want of counts (at most {MIN_LIBRARY:.0%} of the median): {len(rows) - len(kept)} spots.")
    return [row for row, _ in kept], [place for _, place in kept]


def _refuse_coincident(centres: Centres, barcodes: Sequence[str], where: str) -> None:
    _, first, times = np.unique(centres, axis=0, return_index=True, return_counts=True)
    if times.max() > 1:
        x, y = centres[first[int(times.argmax())]]
        same = [barcode for barcode, centre in zip(barcodes, centres, strict=True) if tuple(centre) == (x, y)]
        raise BadInput(f"{where} has {same[0]!r} and {same[1]!r} at one place ({x:g}, {y:g}); correct their positions.")


def _refuse_off_tissue(centres: Centres, slide: Picture) -> None:
    from c2lst_shared.images.tissue import tissue_mask

    overview, factor = slide.overview(MASK_PX)
    mask = tissue_mask(overview)
    columns = np.minimum(centres[:, 0] // factor, mask.shape[1] - 1).astype(int)
    rows = np.minimum(centres[:, 1] // factor, mask.shape[0] - 1).astype(int)
    on_tissue = float(mask[rows, columns].mean())
    if on_tissue < MIN_ON_TISSUE:
        raise BadInput(
            f"Only {on_tissue:.0%} of the spots lie on tissue in {slide.path.name}; the positions seem to belong to another "
            "image, or their axes are swapped or mirrored: give the image that the positions were made on."
        )
