"""Circles of a SpatialData store: names and centres, from Parquet (WKB or GeoArrow points) or format 0.1's Zarr arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_client.spots.damage import refused
from c2lst_client.spots.zarr_store import INSTALL, refuse_unsafe
from c2lst_shared.errors import BadInput

PARQUET, GEOMETRY = "shapes.parquet", "geometry"
COORDS, INDEX, ATTRIBUTES = "coords", "Index", "spatialdata_attrs"  # of format 0.1
POINT = 1  # the type of a point in WKB
WKB_POINT_BYTES = 21
MAX_CIRCLES = 5_000_000


@dataclass(frozen=True)
class Circles:
    """N circles, in their own coordinates."""

    names: list[str]  # N
    centres: npt.NDArray[np.float64]  # N x 2: x, y


def read_circles(group: Any, path: Path) -> Circles:
    """Read the circles in the Zarr `group` that lies at `path`.

    Raises:
        BadInput: it holds no circles, or cannot be read.
    """
    parquet = path / PARQUET
    if parquet.is_file():
        names, centres = _from_parquet(parquet)
    elif COORDS in group and INDEX in group:
        refuse_unsafe(group, path)
        if group.attrs.asdict().get(ATTRIBUTES, {}).get("geos", {}).get("name", "POINT") != "POINT":
            raise BadInput(_no_circles(path))
        _refuse_many(group[COORDS].shape[0], path)
        names, centres = [str(name) for name in np.asarray(group[INDEX])], np.asarray(group[COORDS], np.float64)
    else:
        raise BadInput(f"{path} has neither {PARQUET} nor arrays {COORDS} and {INDEX}; write it with a current spatialdata.")
    if centres.ndim != 2 or centres.shape[1] < 2 or len(centres) != len(names) or not names:
        raise BadInput(_no_circles(path))
    if not np.isfinite(centres[:, :2]).all():
        row = int(np.argmin(np.isfinite(centres[:, :2]).all(axis=1)))
        raise BadInput(f"{path} has no finite position for the circle {names[row]!r}; correct or remove it.")
    return Circles(names, centres[:, :2])


def _from_parquet(path: Path) -> tuple[list[str], npt.NDArray[np.float64]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise BadInput(f"{path} is a Parquet table, and pyarrow is not installed; run: {INSTALL}") from None
    with refused(path, "a table of circles", "copy it again"):
        with parquet.ParquetFile(path) as file:
            _refuse_many(file.metadata.num_rows, path)
            frame = file.read().to_pandas()
        return [str(name) for name in frame.index], _points(frame[GEOMETRY].tolist(), path)


def _points(geometry: Sequence[Any], path: Path) -> npt.NDArray[np.float64]:
    if all(isinstance(point, dict) for point in geometry):  # GeoArrow, as x and y
        return np.array([(point["x"], point["y"]) for point in geometry], dtype=np.float64)
    if not all(isinstance(point, bytes) and len(point) == WKB_POINT_BYTES for point in geometry):
        raise BadInput(_no_circles(path))
    packed = b"".join(geometry)
    order = "<" if packed[0] == 1 else ">"
    fields = [("order", "u1"), ("kind", f"{order}u4"), ("x", f"{order}f8"), ("y", f"{order}f8")]
    points = np.frombuffer(packed, dtype=np.dtype(fields))
    if (points["order"] != packed[0]).any() or (points["kind"] != POINT).any():
        raise BadInput(_no_circles(path))
    return np.stack([points["x"], points["y"]], axis=1).astype(np.float64)


def _refuse_many(count: int, path: Path) -> None:
    if not 0 < count <= MAX_CIRCLES:
        raise BadInput(f"{path} claims {count:,} circles; from 1 to {MAX_CIRCLES:,} are read.")


def _no_circles(path: Path) -> str:
    return f"{path} holds shapes other than circles (points with a radius); give a store whose spots are circles."
