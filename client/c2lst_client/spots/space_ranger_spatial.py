"""The `spatial` folder of a Space Ranger run: where the spots are, and the factors between images and micrometres.

Positions come as `tissue_positions.csv` (Space Ranger 2 on), `tissue_positions.parquet` (bins of Visium HD), or
`tissue_positions_list.csv` (before 2: without a header row, though some tools put one there). A row is y and a column
is x, and rows come first in the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_client.spots.checks import Centres
from c2lst_client.spots.damage import refused
from c2lst_client.spots.tables import numbers, read_columns, read_lines
from c2lst_shared.errors import BadInput

POSITIONS_CSV, POSITIONS_PARQUET = "tissue_positions.csv", "tissue_positions.parquet"
POSITIONS_LIST = "tissue_positions_list.csv"
BARCODE, IN_TISSUE, ROW, COLUMN = "barcode", "in_tissue", "pxl_row_in_fullres", "pxl_col_in_fullres"
COLUMNS = (BARCODE, IN_TISSUE, "array_row", "array_col", ROW, COLUMN)  # the order of a file without a header row
SCALE_FACTORS = "scalefactors_json.json"
HIRES_SCALE = "tissue_hires_scalef"
SPOT_DIAMETER = "spot_diameter_fullres"
BIN_SIZE, UM_PER_PX = "bin_size_um", "microns_per_pixel"  # Visium HD only
SPOT_UM = 65.0  # what spot_diameter_fullres spans, as 10x defines it; the printed spot has 55
PITCH_UM = 100.0  # between the centres of neighbouring Visium spots
MAX_POSITIONS = 1 << 20  # bins of 8 um on a 6.5 mm square are about 700,000
MAX_POSITIONS_BYTES = 1 << 28
MAX_JSON_BYTES = 1 << 20
MAX_PX = 1e7  # no image has a side of more pixels
AGAIN = "copy it again from Space Ranger's outs"


@dataclass(frozen=True)
class ScaleFactors:
    """How positions, images and micrometres belong together."""

    hires: float  # px of the hires image per px of the full-resolution one
    pitch_um: float  # between neighbouring spots or bins
    um_per_px: float  # of the full-resolution image
    bin_um: float | None  # side of a bin; None for Visium spots


def read_scale_factors(spatial: Path) -> ScaleFactors:
    """Read `scalefactors_json.json`.

    Raises:
        BadInput: it is missing, is no JSON object, or a factor is missing or not a number above 0.
    """
    path = spatial / SCALE_FACTORS
    if not path.is_file():
        raise BadInput(f"There is no {SCALE_FACTORS} in {spatial}; copy the whole spatial folder of Space Ranger's outs.")
    with refused(path, "JSON", AGAIN), path.open("rb") as handle:
        content = handle.read(MAX_JSON_BYTES + 1)
        if len(content) > MAX_JSON_BYTES:
            raise BadInput(f"{path} has more than {MAX_JSON_BYTES:,} bytes, too many for scale factors; {AGAIN}.")
        values = json.loads(content)
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no JSON object with factors; {AGAIN}.")
    hires = _factor(values, HIRES_SCALE, path)
    if BIN_SIZE in values:
        bin_um = _factor(values, BIN_SIZE, path)
        return ScaleFactors(hires, bin_um, _factor(values, UM_PER_PX, path), bin_um)
    return ScaleFactors(hires, PITCH_UM, SPOT_UM / _factor(values, SPOT_DIAMETER, path), None)


def _factor(values: dict[str, Any], name: str, path: Path) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 < value < 1e6:
        raise BadInput(f"{path} gives {json.dumps(value)[:40]} as {name}, where a number above 0 is needed; {AGAIN}.")
    return float(value)


def read_positions(spatial: Path, notes: list[str]) -> tuple[list[str], Centres, str]:
    """Read the positions of the spots in tissue.

    Returns:
        Barcodes, their centres (x, y in pixels of the full-resolution image), and the name of the file.

    Raises:
        BadInput: there is no table of positions, it is damaged or lacks a column, or no spot is in tissue.
    """
    names = (POSITIONS_CSV, POSITIONS_PARQUET, POSITIONS_LIST)
    path = next((spatial / name for name in names if (spatial / name).is_file()), None)
    if path is None:
        raise BadInput(f"There is no {names[0]}, {names[1]} or {names[2]} in {spatial}; copy one from Space Ranger's outs.")
    barcodes, in_tissue, centres = _from_parquet(path) if path.name == POSITIONS_PARQUET else _from_csv(path)
    if (far := np.abs(centres).max(axis=1) > MAX_PX).any():
        spot = int(np.argmax(far))
        raise BadInput(f"{path} has {barcodes[spot]!r} at pixel {centres[spot].max():g}, beyond any image; {AGAIN}.")
    if not in_tissue.any():
        raise BadInput(f"{path} marks no spot as in tissue; check the tissue that was found or drawn for Space Ranger.")
    if not in_tissue.all():
        notes.append(f"{int((~in_tissue).sum())} spots that {path.name} marks as off tissue are left out.")
    return [barcodes[spot] for spot in np.flatnonzero(in_tissue)], centres[in_tissue], path.name


def _from_csv(path: Path) -> tuple[list[str], npt.NDArray[np.bool_], Centres]:
    first_line = next(read_lines(path, MAX_POSITIONS_BYTES), "")
    has_header = first_line.lstrip('"').lower().startswith(BARCODE)
    columns = read_columns(path, MAX_POSITIONS_BYTES, names=() if has_header else COLUMNS)
    if BARCODE not in columns:
        raise BadInput(f"{path} has no column {BARCODE!r} but {', '.join(columns)}; add it or rename the right one.")
    y, x, flags = (numbers(path, columns, name, first_row=1 + has_header) for name in (ROW, COLUMN, IN_TISSUE))
    return columns[BARCODE], flags > 0, np.column_stack([x, y])


def _from_parquet(path: Path) -> tuple[list[str], npt.NDArray[np.bool_], Centres]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise BadInput(f"Reading {path.name} needs pyarrow; install it with: pip install 'c2lst[tables]'.") from None

    wanted = (BARCODE, IN_TISSUE, ROW, COLUMN)
    with refused(path, "a Parquet table", AGAIN):
        # A dictionary keeps each barcode once: a small file cannot unpack to millions of copies of a long one.
        with parquet.ParquetFile(path, read_dictionary=[BARCODE]) as file:
            missing = [name for name in wanted if name not in file.schema_arrow.names]
            if missing:
                present = ", ".join(map(repr, file.schema_arrow.names[:10]))
                raise BadInput(f"{path} has no column {missing[0]!r} but {present}; {AGAIN}.")
            _refuse_many(file.metadata, path)
            table = file.read(columns=list(wanted))
        barcodes: list[str] = []
        for chunk in table.column(BARCODE).cast(pa.dictionary(pa.int32(), pa.string())).chunks:
            once = chunk.dictionary.to_pylist()
            barcodes += [once[place] for place in chunk.indices.to_numpy()]
        values = {name: table.column(name).cast(pa.float64()).to_numpy() for name in wanted[1:]}
    for name, column in values.items():
        if not np.isfinite(column).all():
            spot = barcodes[int(np.argmin(np.isfinite(column)))]
            raise BadInput(f"{path} has no finite number in column {name!r} of {spot!r}; {AGAIN}.")
    return barcodes, values[IN_TISSUE] > 0, np.column_stack([values[COLUMN], values[ROW]])


def _refuse_many(metadata: Any, path: Path) -> None:  # pyarrow has no types
    unpacked = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if metadata.num_rows > MAX_POSITIONS or unpacked > MAX_POSITIONS_BYTES:
        raise BadInput(f"{path} holds {metadata.num_rows:,} positions ({unpacked:,} bytes); give larger bins: square_016um.")
