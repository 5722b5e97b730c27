"""The counts and spots of an AnnData, whether it lies in an HDF5 file or a Zarr group: read element by element.

Raw counts are looked for in `layers["counts"]`, then `raw`, then `X`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from c2lst_client.spots.checks import Centres, looks_raw, whole_counts
from c2lst_shared.errors import BadInput

OBS, VAR = "obs", "var"
SPATIAL = "obsm/spatial"
IN_TISSUE = "in_tissue"  # column of obs: 0 off tissue, 1 on it
COUNTS = (("layers/counts", VAR), ("raw/X", "raw/var"), ("X", VAR))  # where counts may be, and the genes that go with them
MAX_BYTES = 4 << 30  # of one element, unpacked
BLOCK_ROWS = 256  # of a dense matrix, read at a time


@dataclass(frozen=True)
class CountTable:
    """What an AnnData says of its spots. S spots, G genes."""

    counts: scipy.sparse.csr_matrix  # S x G
    genes: list[str]  # G
    barcodes: list[str]  # S
    obs: Any  # a DataFrame of S rows; pandas is imported late
    on_tissue: list[int]  # the rows of spots that are not marked as off tissue


def read_table(group: Any, path: Path, notes: list[str]) -> CountTable:
    """Read spots and raw counts.

    Args:
        group: the AnnData's root, an `h5py` or `zarr` group.
        path: what to call it in sentences.
        notes: gets what was assumed or left out.

    Raises:
        BadInput: there are no raw counts, or not one row of them per spot.
    """
    obs = element(group, OBS)
    barcodes = [str(name) for name in obs.index]
    counts, genes = _raw_counts(group, path, notes)
    if counts.shape[0] != len(barcodes):
        raise BadInput(f"{path} has {counts.shape[0]} rows of counts for {len(barcodes)} spots; write it again.")
    return CountTable(counts, genes, barcodes, obs, _on_tissue(obs, path, notes))


def element(group: Any, name: str) -> Any:
    """Return one element as anndata's own reader gives it: a DataFrame, matrix or array."""
    from anndata.io import read_elem

    return read_elem(group[name])


def positions(group: Any, path: Path, spots: int) -> Centres:
    """Return `obsm["spatial"]`, `spots` x 2.

    Raises:
        BadInput: it is missing, of another shape, or not finite.
    """
    if SPATIAL not in group:
        raise BadInput(f"{path} has no obsm['spatial']; store each spot's centre there, in pixels of the image.")
    refuse_huge(group[SPATIAL], path)
    centres = np.asarray(element(group, SPATIAL))
    if centres.ndim != 2 or centres.shape[0] != spots or centres.shape[1] < 2 or centres.dtype.kind not in "iuf":
        raise BadInput(f"obsm['spatial'] of {path} is {centres.dtype} {centres.shape}; it should be {spots} rows of x and y.")
    centres = centres[:, :2].astype(np.float64)
    if not np.isfinite(centres).all():
        row = int(np.argmin(np.isfinite(centres).all(axis=1)))
        raise BadInput(f"obsm['spatial'] of {path} has no finite position for spot {row + 1}; correct it or remove the spot.")
    return centres


def refuse_huge(array: Any, path: Path) -> None:
    """Refuse an array that would take more than `MAX_BYTES`.

    Raises:
        BadInput: it would.
    """
    size = int(np.prod(array.shape, dtype=np.float64)) * array.dtype.itemsize
    if size > MAX_BYTES:
        raise BadInput(f"{path} holds {array.name} of {size / 2**30:.1f} GiB unpacked; give one slide per file.")


def _raw_counts(group: Any, path: Path, notes: list[str]) -> tuple[scipy.sparse.csr_matrix, list[str]]:
    """Return the first matrix of whole numbers among the places where raw counts may be."""
    refused: tuple[str, scipy.sparse.csr_matrix, list[str]] | None = None
    for place, var in COUNTS:
        if place not in group:
            continue
        matrix = _matrix(group[place], path)
        genes = [str(name) for name in element(group, var).index]
        if looks_raw(matrix):
            notes.append(f"Raw counts: {place}.")
            return matrix, genes
        refused = refused or (place, matrix, genes)
    if refused is None:
        raise BadInput(f"{path} has no counts; store the raw counts in layers['counts'] or X.")
    place, matrix, genes = refused
    rows = [str(row) for row in range(matrix.shape[0])]
    return whole_counts(matrix, rows, genes, f"{place} of {path.name}"), genes  # raises: it does not look raw


def _matrix(stored: Any, path: Path) -> scipy.sparse.csr_matrix:
    from anndata.io import read_elem

    if hasattr(stored, "shape"):  # an array, so dense
        blocks = range(0, stored.shape[0], BLOCK_ROWS)
        return scipy.sparse.csr_matrix(
            scipy.sparse.vstack([scipy.sparse.csr_matrix(stored[row : row + BLOCK_ROWS]) for row in blocks], format="csr")
        )
    refuse_huge(stored["data"], path)
    matrix = scipy.sparse.csr_matrix(read_elem(stored))
    matrix.check_format(full_check=True)  # indices beyond the matrix would read foreign memory
    matrix.sum_duplicates()
    return matrix


def _on_tissue(obs: Any, path: Path, notes: list[str]) -> list[int]:
    if IN_TISSUE not in obs.columns:
        return list(range(len(obs)))
    kept = [row for row, flag in enumerate(obs[IN_TISSUE].astype(str)) if flag in ("1", "1.0", "True")]
    if len(kept) < len(obs):
        notes.append(f"{len(obs) - len(kept)} spots that {path.name} marks as off tissue are left out.")
    return kept
