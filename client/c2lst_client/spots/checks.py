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

from c2lst_client.spots.gene_names import look_transposed, merge_columns
from c2lst_client.spots.placement import Centres as Centres
from c2lst_client.spots.placement import refuse_off_tissue, refuse_outside
from c2lst_client.spots.scale import GIVEN, slide_scale
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Picture

MIN_SPOTS = 20
MIN_LIBRARY = 0.01  # of the slide's median total count; mob has spots with 3 and 7 counts among a median of 27,000
MAX_COUNT = 2**31 - 1  # what an int32 holds; more is no count of molecules
LOG_MAX = 30.0  # log-transformed counts stay below; used only to word the message


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
    gene_ids: list[str] | None = None  # G Ensembl ids, where the format gives them beside the names in `genes`


def checked(found: Found) -> SpotSet:
    """Return the SpotSet of what a reader found.

    Raises:
        BadInput: what was found cannot be used; the sentence says why and what to do.
    """
    from c2lst_shared.images.tissue import check_h_and_e

    notes = list(found.notes)
    _refuse_transposed(found)
    unique_names(found.count_barcodes, "spot", found.counts_from)
    unique_names(found.spot_barcodes, "spot", found.spots_from)
    counts = whole_counts(found.counts, found.count_barcodes, found.genes, found.counts_from)
    counts, genes = merged_genes(counts, found.genes, found.counts_from, notes, found.gene_ids)
    rows, places = _joined(found, notes)
    if not counts[rows].nnz:
        raise BadInput(f"{found.counts_from} holds no count above 0 for any of its {len(rows)} spots; give the raw counts.")
    rows, places = _with_counts(counts, rows, places, notes)
    if len(rows) < MIN_SPOTS:
        usable = "1 usable spot" if len(rows) == 1 else f"{len(rows)} usable spots"
        raise BadInput(f"{found.counts_from} gives {usable} and {MIN_SPOTS} are needed; use a larger section.")
    barcodes = [found.count_barcodes[row] for row in rows]
    centres = found.centres[places]
    _refuse_coincident(centres, barcodes, found.spots_from)
    refuse_outside(centres, barcodes, found.slide)
    check_h_and_e(found.slide)
    refuse_off_tissue(centres, found.slide, notes)
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
    counts: scipy.sparse.csr_matrix,
    genes: Sequence[str],
    where: str,
    notes: list[str],
    gene_ids: Sequence[str] | None = None,
) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Make one column for each gene, and note what the genes are and what was summed; see `gene_names.merge_columns`.

    Raises:
        BadInput: a gene without a name, no genes, or a sum too large for a count.
    """
    if "" in genes or not genes:
        unique_names(list(genes), "gene", where)
    merged, unique, note = merge_columns(counts, genes, gene_ids)
    if note:
        notes.append(note)
    if len(unique) == len(genes):
        return merged, unique
    return whole_counts(merged, [f"row {row + 1}" for row in range(merged.shape[0])], unique, where), unique


def _refuse_transposed(found: Found) -> None:
    if look_transposed(found.count_barcodes, found.genes):
        raise BadInput(
            f"{found.counts_from} has genes in its rows (such as {found.count_barcodes[0]!r}) and spots in its columns "
            f"(such as {found.genes[0]!r}); transpose it to one row per spot."
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
