"""The two files of a set of pairs, in the layout of HEST: `patches.h5` beside `expression.h5ad`.

`patches.h5` has `img` (N x H x W x 3 uint8), `coords` (N x 2), `barcode` (N x 1, UTF-8 bytes) and `done` (N, 1 where the
patch is written). Nothing in it moves or grows once it exists: it is laid out in full, contiguously, before the first patch,
so that a process killed at any moment leaves a file that reads, and the next run goes on at the first pair not done.
`expression.h5ad` is an AnnData with X (N x G), the barcodes as obs names, coords in `obsm["spatial"]` and, in `uns`, where
the pairs come from: `provenance` (JSON) and `fingerprint` (of everything but the patches).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_shared import atomic
from c2lst_shared.canonical import canonical_json
from c2lst_shared.errors import BadArtefact, BadInput, NoSpace

if TYPE_CHECKING:
    import h5py

PATCHES, EXPRESSION = "patches.h5", "expression.h5ad"
IMG, COORDS, BARCODE, DONE = "img", "coords", "barcode", "done"
SPATIAL, PROVENANCE, FINGERPRINT = "spatial", "provenance", "fingerprint"
SPARE_BYTES = 1 << 28  # left free on the disk when patches.h5 is laid out

Matrix: TypeAlias = "npt.NDArray[np.float32] | scipy.sparse.csr_matrix"


@dataclass(frozen=True)
class Known:
    """All that is known of pairs before the first patch. N pairs, G genes."""

    barcodes: list[str]
    genes: list[str]
    expression: Matrix
    coords: npt.NDArray[np.float64]
    image_px: int
    obs: dict[str, list[Any]]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        count = len(self.barcodes)
        lengths = {"expression": self.expression.shape[0], "coords": len(self.coords)}
        lengths |= {name: len(column) for name, column in self.obs.items()}
        wrong = [f"{name} has {length} rows" for name, length in lengths.items() if length != count]
        if wrong or self.expression.shape[1] != len(self.genes):
            raise ValueError(f"{count} barcodes, {len(self.genes)} genes, X {self.expression.shape}: {', '.join(wrong)}")
        if len(set(self.barcodes)) < count or not count:
            raise ValueError("barcodes are not unique, or there are none")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything here: two sets of pairs with equal fingerprints differ at most in their patches."""
        digest = hashlib.sha256()
        settings = [self.provenance, self.barcodes, self.genes, self.image_px, self.obs]
        digest.update(canonical_json(settings).encode())
        digest.update(np.ascontiguousarray(self.coords).tobytes())
        digest.update(matrix_digest(self.expression).encode())
        return digest.hexdigest()


def matrix_digest(matrix: Matrix) -> str:
    """Return the SHA-256 of a dense or sparse matrix: of its shape, types and values."""
    if scipy.sparse.issparse(matrix):
        rows = scipy.sparse.csr_matrix(matrix)
        parts = [rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)]
    else:
        parts = [np.asarray(matrix)]
    digest = hashlib.sha256(f"{matrix.shape} {matrix.dtype}".encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def write_expression(path: Path, known: Known) -> None:
    """Write expression.h5ad atomically."""
    import anndata
    import pandas as pd

    data = anndata.AnnData(
        X=known.expression,
        obs=pd.DataFrame(known.obs, index=pd.Index(known.barcodes, dtype=object)),
        var=pd.DataFrame(index=pd.Index(known.genes, dtype=object)),
        obsm={SPATIAL: known.coords},
        uns={PROVENANCE: canonical_json(known.provenance), FINGERPRINT: known.fingerprint},
    )
    with atomic.replacing(path) as temporary:
        data.write_h5ad(temporary)


def lay_out_patches(path: Path, known: Known) -> None:
    """Make patches.h5 with all of its space, and no patch yet.

    Raises:
        NoSpace: the disk is too small.
    """
    import h5py

    count, side = len(known.barcodes), known.image_px
    needed = count * side * side * 3
    free = shutil.disk_usage(path.parent).free
    if needed + SPARE_BYTES > free:
        raise NoSpace(f"{path.parent} needs {needed / 2**30:.1f} GiB for patches and has {free / 2**30:.1f} free; make room.")
    barcodes = np.array([[barcode.encode()] for barcode in known.barcodes])
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_layout(h5py.h5d.CONTIGUOUS)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    with atomic.replacing(path) as temporary, h5py.File(temporary, "w", libver="v108") as file:
        file.attrs[FINGERPRINT] = known.fingerprint
        file[COORDS] = known.coords
        file[BARCODE] = barcodes
        file[DONE] = np.zeros(count, np.uint8)
        space = h5py.h5s.create_simple((count, side, side, 3))
        h5py.h5d.create(file.id, IMG.encode(), h5py.h5t.NATIVE_UINT8, space, dcpl=early)


def opened(path: Path, mode: str = "r", *, locking: bool = True) -> h5py.File:
    """Open an HDF5 file.

    Without `locking` a file is only looked at, while somebody may be writing to it: that one is not kept from it.

    Raises:
        BadInput: another process writes to it.
        BadArtefact: it is damaged.
    """
    import h5py

    try:
        return h5py.File(path, mode) if locking else h5py.File(path, mode, locking=False)
    except BlockingIOError:
        raise BadInput(f"{path} is in use by another process; wait for it to end.") from None
    except OSError:
        raise BadArtefact(f"{path} is damaged; delete it and make it again.") from None


def stored_identity(folder: Path, *, locking: bool = True) -> tuple[str, dict[str, Any]] | None:
    """Return fingerprint and provenance of the pairs in a folder, None when there are none.

    Raises:
        BadArtefact: the file there is damaged or was not written by `write_expression`.
    """
    path = folder / EXPRESSION
    if not path.exists():
        return None
    with opened(path, locking=locking) as file:
        try:
            return file[f"uns/{FINGERPRINT}"].asstr()[()], json.loads(file[f"uns/{PROVENANCE}"].asstr()[()])
        except (KeyError, AttributeError, ValueError):
            raise BadArtefact(f"{path} does not say how it was made, so it is not of this project; move it away.") from None


def patches_fingerprint(path: Path) -> str | None:
    """Return the fingerprint of the pairs that a patches.h5 belongs to: None without such a file, empty for another's."""
    if not path.exists():
        return None
    with opened(path) as file:
        complete = all(name in file for name in (IMG, COORDS, BARCODE, DONE))
        return str(file.attrs.get(FINGERPRINT, "")) if complete else ""


def difference(folder: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Say in what the pairs of a folder differ from those asked for."""
    keys = [key for key in sorted({*stored, *asked}) if stored.get(key) != asked.get(key)]
    what = ", ".join(keys) if keys else "the spots themselves"
    return (
        f"{folder} holds pairs that were made otherwise (differs: {what}); use another folder, or replace it with --overwrite."
    )
