"""Text tables, read line by line: memory holds one row of genes and the counts that are not zero.

Tab- or comma-separated, plain or gzip (told by its first bytes), with or without quotes. A table from R, whose header
has no cell above the row names, is read as well.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import itertools
import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.sparse

from c2lst_shared.errors import BadInput

MAX_BYTES = 4 << 30  # of a table once decompressed: a gzip bomb ends here
MAX_LINE_BYTES = 64 << 20  # 18,000 genes take about 0.1 MB
MAX_NONZERO = 1 << 28  # 268 million counts, 2 GB; a slide of 5,000 spots has about 30 million
GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[str]:
    """Yield the lines of a text file that are not blank, without their line ends.

    Raises:
        BadInput: the file is missing, damaged, not UTF-8, or larger than `max_bytes` once decompressed.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP_MAGIC
        with gzip.open(path, "rb") if packed else path.open("rb") as handle:
            left = max_bytes
            encoding = "utf-8-sig"  # a spreadsheet may have put a byte order mark in front
            while line := handle.readline(min(left, MAX_LINE_BYTES) + 1):
                left -= len(line)
                if left < 0 or len(line) > MAX_LINE_BYTES:
                    raise BadInput(f"{path} is larger than {max_bytes:,} bytes unpacked, or has endless lines: is it a table?")
                text = line.decode(encoding).rstrip("\r\n")
                encoding = "utf-8"
                if text.strip():
                    yield text
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadInput(f"{path} is a damaged or cut-off gzip file; copy it again.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text; save it as a tab-separated UTF-8 table.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}).") from None


def read_columns(path: Path, max_bytes: int = 1 << 28, names: Sequence[str] = ()) -> dict[str, list[str]]:
    """Read a small table.

    Args:
        path: the table.
        max_bytes: of the table, unpacked.
        names: the names of the columns, for a table without a header row.

    Returns:
        The cells of each column, as text.

    Raises:
        BadInput: as `read_lines`; no rows; rows of different length; a column name twice.
    """
    lines = read_lines(path, max_bytes)
    first_line = next(lines, None)
    if first_line is None:
        raise BadInput(f"{path} is empty; it should be a table{'' if names else ' with a header row'}.")
    separator = _separator(path, first_line)
    header = list(names) or _cells(first_line, separator)
    if len(set(header)) < len(header):
        raise BadInput(f"{path} has a column name twice in its header ({', '.join(header[:10])}); rename one.")
    rows = [_cells(line, separator) for line in (itertools.chain([first_line], lines) if names else lines)]
    if not rows:
        raise BadInput(f"{path} has a header but no rows; give the table of spots.")
    for number, row in enumerate(rows, start=1 if names else 2):
        if len(row) != len(header):
            expected = f"{len(header)} columns are expected" if names else f"{len(header)} in its header"
            raise BadInput(f"{path} has {len(row)} cells in row {number} and {expected}; it may be cut short.")
    return {name: [row[column] for row in rows] for column, name in enumerate(header)}


def numbers(path: Path, columns: dict[str, list[str]], name: str, first_row: int = 2) -> npt.NDArray[np.float64]:
    """Return the column `name` of a table read from `path` as finite numbers; `first_row` is for sentences: 1 without a header.

    Raises:
        BadInput: the column is missing, or a cell is not a finite number.
    """
    if name not in columns:
        raise BadInput(f"{path} has no column {name!r} but {', '.join(columns)}; add it or rename the right one.")
    values = np.empty(len(columns[name]))
    for row, cell in enumerate(columns[name]):
        values[row] = _number(cell)
        if not np.isfinite(values[row]):
            raise BadInput(
                f"{path} has {cell!r} in column {name!r}, row {row + first_row}, where a number is needed; correct the cell."
            )
    return values


def read_counts(path: Path) -> tuple[list[str], list[str], scipy.sparse.csr_matrix]:
    """Read a table of counts: one row per spot, its name first, one column per gene.

    Returns:
        Row names, gene names, and the counts as they stand in the table (S x G, float64; NaN and infinity stay).

    Raises:
        BadInput: as `read_lines`; no rows; rows of different length; a cell that is not a number; too many counts.
    """
    lines = read_lines(path)
    header_line = next(lines, None)
    if header_line is None:
        raise BadInput(f"{path} is empty; it should be a table with one row per spot and one column per gene.")
    separator = _separator(path, header_line)
    header = _cells(header_line, separator)
    names: list[str] = []
    data, columns, row_ends = array("d"), array("i"), array("q", [0])
    for line in lines:
        name, _, rest = line.partition(separator)
        values = _row(path, name, rest, separator)
        if not names and len(values) == len(header) - 1:
            header = header[1:]  # the cell above the row names; R leaves it out
        if len(values) != len(header):
            raise BadInput(f"{path} has {len(values)} counts in row {name!r} for {len(header)} genes; it may be cut short.")
        (present,) = np.nonzero(values)
        names.append(_bare(name))
        data.frombytes(values[present].tobytes())
        columns.frombytes(present.astype(np.int32).tobytes())
        row_ends.append(len(data))
        if len(data) > MAX_NONZERO:
            raise BadInput(f"{path} holds more than {MAX_NONZERO:,} counts that are not zero; give one slide per table.")
    if not names:
        raise BadInput(f"{path} has a header but no rows; give a table with one row per spot.")
    parts = (np.frombuffer(data), np.frombuffer(columns, np.int32), np.frombuffer(row_ends, np.int64))
    return names, header, scipy.sparse.csr_matrix(parts, shape=(len(names), len(header)))


def _row(path: Path, name: str, rest: str, separator: str) -> npt.NDArray[np.float64]:
    if not rest:
        return np.empty(0)
    try:
        return np.loadtxt([rest], delimiter=separator, comments=None, quotechar='"', ndmin=1)
    except ValueError:
        cells = _cells(rest, separator)
    for column, cell in enumerate(cells, start=2):
        if np.isnan(_number(cell)):
            raise BadInput(f"{path} has {cell!r} in row {name!r}, column {column}, where a count is needed; correct the cell.")
    return np.array([_number(cell) for cell in cells])


def _number(cell: str) -> float:
    if "_" in cell:  # Python reads 1_000 as a thousand; no table means that
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _separator(path: Path, header: str) -> str:
    for separator in ("\t", ","):
        if separator in header:
            return separator
    raise BadInput(f"{path} has neither a tab nor a comma in its first line; save it as a tab-separated table.")


def _cells(line: str, separator: str) -> list[str]:
    cells = line.split(separator)
    if '"' in line:
        with contextlib.suppress(csv.Error):  # a field of more than 128 kB is no field
            cells = next(csv.reader([line], delimiter=separator))
    return [cell.strip() for cell in cells]


def _bare(name: str) -> str:
    return name.strip().strip('"')
