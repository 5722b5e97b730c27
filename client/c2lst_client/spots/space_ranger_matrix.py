"""The counts of a Space Ranger run: `filtered_feature_bc_matrix.h5`, or the folder of that name with three text files.

Both hold features x barcodes; what is returned holds a row per barcode, like every table of the house.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_client.spots.damage import refused
from c2lst_client.spots.tables import MAX_NONZERO, read_lines
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    import h5py

MATRIX_H5 = "filtered_feature_bc_matrix.h5"
MATRIX_FOLDER = "filtered_feature_bc_matrix"
MATRIX_MTX, FEATURES_TSV, BARCODES_TSV = "matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"  # in MATRIX_FOLDER
H5_ROOT = "matrix"
H5_FEATURES = ("features/id", "features/name", "features/feature_type")
MAX_NAMES = 1 << 23  # barcodes or features of one file; a 6.5 mm square has 700,000 bins of 8 um and 11 million of 2 um
MAX_NAME_BYTES = 1 << 28  # all names of one kind together
MTX_BLOCK = 1 << 18  # lines of a Matrix Market file, parsed at a time
NAME_BLOCK = 4096  # names read at a time
AGAIN = "copy it again from Space Ranger's outs"
_MTX_BANNER = re.compile(r"%%MatrixMarket\s+matrix\s+coordinate\s+(integer|real)\s+general\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Matrix:
    """Counts as they stand in the file. S = barcodes, F = features of any kind."""

    barcodes: list[str]  # S
    ids: list[str]  # F, Ensembl ids
    symbols: list[str]  # F
    kinds: list[str]  # F, such as "Gene Expression"
    counts: scipy.sparse.csr_matrix  # S x F, any numbers
    path: Path  # for sentences


def read_matrix(folder: Path) -> Matrix:
    """Read the counts in `folder`, from the HDF5 file if there is one.

    Raises:
        BadInput: there are none, or they are damaged, too large, transposed, or do not fit their barcodes and features.
    """
    if (folder / MATRIX_H5).exists():
        return _read_h5(folder / MATRIX_H5)
    if (folder / MATRIX_FOLDER).is_dir():
        return _read_folder(folder / MATRIX_FOLDER)
    raise BadInput(f"There is no {MATRIX_H5} and no folder {MATRIX_FOLDER} in {folder}; copy one from Space Ranger's outs.")


def _read_h5(path: Path) -> Matrix:
    import h5py

    with refused(path, "a matrix of Space Ranger", AGAIN), h5py.File(path, "r") as file:
        if H5_ROOT not in file:
            raise BadInput(f"{path} has no group {H5_ROOT!r}; give the {MATRIX_H5} that Space Ranger wrote.")
        group = file[H5_ROOT]
        barcodes = _names(group["barcodes"], path)
        ids, symbols, kinds = features = [_names(group[key], path) for key in H5_FEATURES]
        shape = tuple(int(side) for side in _vector(group["shape"], "iu", 2, path))
        _refuse_other_shape(shape, features, barcodes, path)
        data = _vector(group["data"], "iuf", MAX_NONZERO, path)
        indices = _vector(group["indices"], "iu", MAX_NONZERO, path)
        starts = _vector(group["indptr"], "iu", MAX_NAMES + 1, path)
        # Columns of features x barcodes are rows of barcodes x features: nothing is to be transposed.
        counts = scipy.sparse.csr_matrix((data, indices, starts), shape=shape[::-1])
        counts.check_format(full_check=True)  # indices beyond the matrix would read foreign memory
        counts.sum_duplicates()
    return Matrix(barcodes, ids, symbols, kinds, counts, path)


def _names(dataset: h5py.Dataset, path: Path) -> list[str]:
    size = dataset.size * dataset.dtype.itemsize
    if dataset.ndim != 1 or dataset.size > MAX_NAMES or size > MAX_NAME_BYTES:
        raise BadInput(f"{path} holds {dataset.name} of shape {dataset.shape}, {size:,} bytes; give the matrix of one slide.")
    names: list[str] = []
    left = MAX_NAME_BYTES
    for start in range(0, dataset.size, NAME_BLOCK):  # strings of variable length tell their size only once read
        block = dataset.asstr()[start : start + NAME_BLOCK].tolist()
        left -= sum(map(len, block))
        if left < 0:
            raise BadInput(f"{path} holds {dataset.name} of more than {MAX_NAME_BYTES:,} bytes; give the matrix of one slide.")
        names += block
    return names


def _vector(dataset: h5py.Dataset, kinds: str, longest: int, path: Path) -> npt.NDArray[np.generic]:
    if dataset.ndim != 1 or dataset.dtype.kind not in kinds or dataset.size > longest:
        raise BadInput(
            f"{path} holds {dataset.name} as {dataset.dtype} {dataset.shape}, not as a row of at most {longest:,} numbers; "
            "give the matrix of one slide."
        )
    return np.asarray(dataset[()])


def _read_folder(folder: Path) -> Matrix:
    barcodes = [line.strip() for line in read_lines(folder / BARCODES_TSV, MAX_NAME_BYTES)]
    features: tuple[list[str], list[str], list[str]] = ([], [], [])
    for number, line in enumerate(read_lines(folder / FEATURES_TSV, MAX_NAME_BYTES), start=1):
        cells = line.split("\t")
        if len(cells) < len(features):
            raise BadInput(
                f"{folder / FEATURES_TSV} has {len(cells)} columns in row {number} instead of id, name and type; {AGAIN}."
            )
        for column, cell in zip(features, cells, strict=False):
            column.append(cell.strip())
    path = folder / MATRIX_MTX
    lines = read_lines(path)
    *shape, nonzero = _mtx_sizes(lines, path)
    _refuse_other_shape(tuple(shape), features, barcodes, path)
    return Matrix(barcodes, *features, _mtx_counts(lines, (shape[0], shape[1]), nonzero, path), path)


def _mtx_sizes(lines: Iterator[str], path: Path) -> tuple[int, int, int]:
    """Read the header: the numbers of features, barcodes and counts."""
    if not _MTX_BANNER.fullmatch(next(lines, "")):
        raise BadInput(f"{path} does not begin like a Matrix Market file of counts (coordinate, integer, general); {AGAIN}.")
    sizes = next((line for line in lines if not line.startswith("%")), "").split()
    if len(sizes) != 3 or not all(size.isascii() and size.isdigit() and len(size) < 16 for size in sizes):
        raise BadInput(f"{path} does not give its numbers of features, barcodes and counts; {AGAIN}.")
    features, barcodes, nonzero = map(int, sizes)
    if nonzero > min(MAX_NONZERO, features * barcodes):
        raise BadInput(f"{path} claims {nonzero:,} counts in {features:,} x {barcodes:,} places; give the matrix of one slide.")
    return features, barcodes, nonzero


def _mtx_counts(lines: Iterator[str], shape: tuple[int, int], nonzero: int, path: Path) -> scipy.sparse.csr_matrix:
    """Return barcodes x features. scipy's own reader takes 1.5 for 1 in a file of integers, and damage crashes it."""
    columns, rows = np.empty(nonzero, np.int32), np.empty(nonzero, np.int32)
    values = np.empty(nonzero)
    filled = 0
    while block := list(itertools.islice(lines, MTX_BLOCK)):
        places, counts = _mtx_entries(block, path)
        end = filled + len(counts)
        if end > nonzero or (places < 1).any() or (places > shape).any():
            raise BadInput(f"{path} holds counts beyond the {nonzero:,} in {shape[0]} x {shape[1]} of its header; {AGAIN}.")
        columns[filled:end], rows[filled:end], values[filled:end] = places[:, 0] - 1, places[:, 1] - 1, counts
        filled = end
    if filled < nonzero:
        raise BadInput(f"{path} holds {filled:,} of the {nonzero:,} counts that its header announces; {AGAIN}.")
    return scipy.sparse.csr_matrix((values, (rows, columns)), shape=shape[::-1])


def _mtx_entries(block: list[str], path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return N x 2 feature and barcode, counted from one, and N counts."""
    import pandas as pd

    with refused(path, "a Matrix Market file", AGAIN), warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas only warns of a fourth number in the first line
        table = pd.read_csv(
            io.StringIO("\n".join(block)),
            sep=r"\s+",
            header=None,
            names=["feature", "barcode", "count"],
            dtype={"feature": np.int64, "barcode": np.int64, "count": np.float64},
            index_col=False,
            quoting=csv.QUOTE_NONE,
        )
    return table[["feature", "barcode"]].to_numpy(), table["count"].to_numpy()


def _refuse_other_shape(shape: tuple[int, ...], features: Sequence[Sequence[str]], barcodes: Sequence[str], path: Path) -> None:
    lengths = {len(column) for column in features}
    if len(lengths) > 1:
        raise BadInput(f"{path} has {sorted(lengths)} ids, names and types of features; {AGAIN}.")
    expected = (lengths.pop(), len(barcodes))
    if shape == expected:
        return
    hint = "it seems transposed: store features x barcodes" if shape == expected[::-1] else AGAIN
    sides = " x ".join(map(str, shape))
    raise BadInput(f"{path} is {sides} for {expected[0]} features and {expected[1]} barcodes; {hint}.")
