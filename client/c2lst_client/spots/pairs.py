"""Pairs of a patch and an expression vector: written as patches come, safe at every moment, and read when asked for.

`pair_files.py` says what the two files of a folder hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_client.spots import pair_files
from c2lst_client.spots.pair_files import DONE, EXPRESSION, IMG, PATCHES, SPATIAL, Known, Matrix
from c2lst_shared.canonical import canonical_json
from c2lst_shared.errors import BadArtefact, BadInput

if TYPE_CHECKING:
    import pandas as pd

Pixels = npt.NDArray[np.uint8]


class PairWriter:
    """Writes pairs whose expression is known up front and whose patches come in order, some at a time.

    Use it as a context manager: `append` patches from pair number `done` on until `done == len(barcodes)`, then `finish`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        barcodes: Sequence[str],
        expression: Matrix,
        genes: Sequence[str],
        image_px: int,
        coords: npt.NDArray[np.float64],
        obs: Mapping[str, Sequence[Any]] | None = None,
        provenance: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        """Begin in `folder`, or go on where an earlier run with the same arguments stopped.

        Args:
            folder: gets the two files; made when missing.
            barcodes: N unique names of the pairs.
            expression: N x G, what is paired with the patches; stays as it is (z-scores, or raw counts in a sparse matrix).
            genes: G names.
            image_px: side of the patches.
            coords: N x 2, x and y in pixels of the slide.
            obs: more columns about the pairs, such as the barcode of the spot that a pair comes from; str, int or float.
            provenance: how the pairs are made, as JSON can say it.
            overwrite: replace what is in the folder if it was made otherwise.

        Raises:
            BadInput: the folder holds pairs made otherwise, another process writes there, or the disk is too small.
        """
        known = Known(
            barcodes=list(barcodes),
            genes=list(genes),
            expression=expression,
            coords=np.asarray(coords, np.float64),
            image_px=image_px,
            obs={name: np.asarray(column).tolist() for name, column in (obs or {}).items()},
            provenance=json.loads(canonical_json(dict(provenance))),
        )
        self.folder = folder
        _make_room(folder, known, overwrite)
        if not (folder / EXPRESSION).exists():
            pair_files.write_expression(folder / EXPRESSION, known)
        if not (folder / PATCHES).exists():
            pair_files.lay_out_patches(folder / PATCHES, known)
        self._total = len(known.barcodes)
        with pair_files.opened(folder / PATCHES) as file:
            unfinished = np.flatnonzero(file[DONE][:] == 0)
        self._done = int(unfinished[0]) if len(unfinished) else self._total
        self._file = pair_files.opened(folder / PATCHES, "r+" if len(unfinished) else "r")  # complete files stay untouched

    @property
    def done(self) -> int:
        """How many pairs have their patch: the number of the next one."""
        return self._done

    def __len__(self) -> int:
        return self._total

    def append(self, patches: Pixels) -> None:
        """Write the next patches, n x image_px x image_px x 3; they are safe on the disk when this returns."""
        images = self._file[IMG]
        if patches.dtype != np.uint8 or patches.shape[1:] != images.shape[1:] or self._done + len(patches) > self._total:
            raise ValueError(f"{patches.dtype} {patches.shape} does not fit {images.shape} from number {self._done} on")
        part = slice(self._done, self._done + len(patches))
        images[part] = patches
        self._sync()  # pixels first: `done` must never promise what a power cut may take
        self._file[DONE][part] = 1
        self._sync()
        self._done += len(patches)

    def finish(self) -> PairSet:
        """Close the files and open the pairs for reading.

        Raises:
            BadInput: patches are missing.
        """
        self.close()
        return PairSet.open(self.folder)

    def close(self) -> None:
        """Close the file; a later run with the same arguments goes on here."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())


def _make_room(folder: Path, known: Known, overwrite: bool) -> None:
    """Leave a folder with none of the two files, with this expression alone, or with both; refuse or replace others."""
    stored = pair_files.stored_identity(folder)
    found = pair_files.patches_fingerprint(folder / PATCHES)
    if stored is not None and stored[0] == known.fingerprint and found in (None, known.fingerprint):
        return
    if stored is None and found is None:
        return
    if not overwrite:
        raise BadInput(pair_files.difference(folder, stored[1] if stored else {}, known.provenance))
    (folder / PATCHES).unlink(missing_ok=True)  # first: patches are never alone with an expression that is not theirs
    (folder / EXPRESSION).unlink(missing_ok=True)


@dataclass(frozen=True)
class PairSet:
    """Complete pairs, read when asked for. N pairs, G genes."""

    folder: Path
    image_px: int
    provenance: dict[str, Any]
    fingerprint: str
    size: int  # N
    offset: int  # of the first patch in patches.h5, in bytes

    @classmethod
    def open(cls, folder: Path, *, locking: bool = True) -> PairSet:
        """Open the pairs of a folder; without `locking` only to be looked at, which keeps nobody from writing to them.

        Raises:
            BadInput: there are none, or some patches are missing yet.
            BadArtefact: the files are damaged or do not belong together.
        """
        stored = pair_files.stored_identity(folder, locking=locking)
        if stored is None or not (folder / PATCHES).is_file():
            raise BadInput(f"{folder} holds no pairs ({PATCHES} and {EXPRESSION}); run the step that makes them first.")
        fingerprint, provenance = stored
        if pair_files.patches_fingerprint(folder / PATCHES) != fingerprint:
            raise BadArtefact(f"{PATCHES} and {EXPRESSION} in {folder} do not belong together; make them again.")
        with pair_files.opened(folder / PATCHES, locking=locking) as file:
            done = int(np.count_nonzero(file[DONE][:]))
            images, offset = file[IMG], file[IMG].id.get_offset()
            shape = images.shape
        if done < shape[0]:
            raise BadInput(f"{folder} has {done} of {shape[0]} patches; run the step that makes them again to finish it.")
        if offset is None or (folder / PATCHES).stat().st_size < offset + int(np.prod(shape)):
            raise BadArtefact(f"{folder / PATCHES} is cut short; make it again with --overwrite.")
        return cls(folder, shape[1], provenance, fingerprint, shape[0], offset)

    def __len__(self) -> int:
        return self.size

    def patches(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Pixels:
        """Return the patches of some pairs, n x image_px x image_px x 3, in the order asked for."""
        batch = np.empty((len(indices), self.image_px, self.image_px, 3), np.uint8)
        # Contiguous, so a patch is one read: far quicker than HDF5's selections, and no page of a memory map stays behind.
        with (self.folder / PATCHES).open("rb", buffering=0) as file:
            for target, index in zip(batch, indices, strict=True):
                if not 0 <= index < len(self):
                    raise IndexError(f"pair {index} of {len(self)}")
                file.seek(self.offset + int(index) * target.nbytes)
                file.readinto(target.data)
        return batch

    @cached_property
    def barcodes(self) -> list[str]:
        """N unique names."""
        return [str(name) for name in self.obs.index]

    @cached_property
    def genes(self) -> list[str]:
        """G unique names."""
        return [str(name) for name in self._stored("var").index]

    @cached_property
    def expression(self) -> npt.NDArray[np.float32]:
        """X as a dense N x G float32 array."""
        stored = self._stored("X")
        return np.asarray(stored.toarray() if scipy.sparse.issparse(stored) else stored, dtype=np.float32)

    @cached_property
    def counts(self) -> scipy.sparse.csr_matrix:
        """X as a sparse N x G matrix, of the type that was stored."""
        return scipy.sparse.csr_matrix(self._stored("X"))

    @cached_property
    def coords(self) -> npt.NDArray[np.float64]:
        """N x 2: x and y in pixels of the slide."""
        return np.asarray(self._stored(f"obsm/{SPATIAL}"), dtype=np.float64)

    @cached_property
    def obs(self) -> pd.DataFrame:
        """The columns about the pairs, one row per barcode."""
        frame: pd.DataFrame = self._stored("obs")
        return frame

    def _stored(self, name: str) -> Any:  # whatever anndata's reader gives for that element
        from anndata.io import read_elem

        with pair_files.opened(self.folder / EXPRESSION) as file:
            try:
                return read_elem(file[name])
            except Exception as error:  # a damaged file makes that reader raise anything at all
                raise BadArtefact(f"{self.folder / EXPRESSION} is damaged ({error}); make the pairs again.") from None
