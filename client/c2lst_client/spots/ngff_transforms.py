"""Coordinate transformations of OME-NGFF as SpatialData writes them, reduced to what happens in the plane: 3 x 3 matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_shared.errors import BadInput

KINDS = ("identity", "scale", "translation", "affine", "sequence")
PLANE = ("x", "y")
MAX_DEPTH = 10  # of sequences within sequences
MICROMETRE = ("micrometer", "micrometre", "um", "µm")

Matrix = npt.NDArray[np.float64]  # 3 x 3, for columns of x, y, 1


def to_systems(transformations: object, path: Path) -> dict[str, tuple[Matrix, bool]]:
    """Return, for each coordinate system that an element is placed in, the matrix and whether its unit is the micrometre.

    Args:
        transformations: the element's `coordinateTransformations`.
        path: the element, for sentences.

    Raises:
        BadInput: they are not as SpatialData writes them, or of a kind that is not supported.
    """
    if not isinstance(transformations, list) or not transformations:
        raise BadInput(f"{path} has no coordinateTransformations; write it with a current spatialdata.")
    try:
        systems = {}
        for transformation in transformations:
            output = transformation["output"]
            matrix = _matrix(transformation, _axes(transformation["input"]), path, 0)
            units = [axis.get("unit") for axis in output["axes"] if axis["name"] in PLANE]
            systems[str(output["name"])] = matrix, bool(units) and all(unit in MICROMETRE for unit in units)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadInput(f"{path} has a coordinate transformation that cannot be read ({error}); write it again.") from None
    return systems


def _axes(system: Mapping[str, Any]) -> list[str]:
    return [axis["name"] for axis in system["axes"]]


def _matrix(transformation: Mapping[str, Any], axes: Sequence[str], path: Path, depth: int) -> Matrix:
    """Return the plane's part of one transformation of points with these `axes`."""
    kind = str(transformation["type"])
    if kind not in KINDS or depth > MAX_DEPTH:
        raise BadInput(f"{path} has a coordinate transformation of kind {kind!r}; supported are {', '.join(KINDS)}.")
    if "input" in transformation and isinstance(transformation["input"], Mapping):
        axes = _axes(transformation["input"])
    matrix = np.eye(3)
    if kind == "scale":
        matrix[[0, 1], [0, 1]] = _of_plane(transformation["scale"], axes)
    elif kind == "translation":
        matrix[:2, 2] = _of_plane(transformation["translation"], axes)
    elif kind == "affine":
        matrix = _affine(transformation, axes, path)
    elif kind == "sequence":
        for step in transformation["transformations"]:
            matrix = _matrix(step, axes, path, depth + 1) @ matrix
            if isinstance(step.get("output"), Mapping):
                axes = _axes(step["output"])
    if not np.isfinite(matrix).all():
        raise BadInput(f"{path} has a coordinate transformation with values that are not finite; write it again.")
    return matrix


def _of_plane(values: Sequence[float], axes: Sequence[str]) -> list[float]:
    if len(values) != len(axes):
        raise ValueError(f"{len(values)} values for the axes {', '.join(axes)}")
    return [float(values[axes.index(axis)]) for axis in PLANE]


def _affine(transformation: Mapping[str, Any], axes: Sequence[str], path: Path) -> Matrix:
    stored = np.asarray(transformation["affine"], dtype=np.float64)
    outputs = _axes(transformation["output"]) if isinstance(transformation.get("output"), Mapping) else list(axes)
    if stored.shape != (len(outputs), len(axes) + 1):
        raise ValueError(f"an affine matrix {stored.shape} for {len(axes)} axes")
    rows, columns = [outputs.index(axis) for axis in PLANE], [axes.index(axis) for axis in PLANE]
    others = [column for column in range(len(axes)) if column not in columns]
    if stored[np.ix_(rows, others)].any():
        raise BadInput(f"{path} has an affine transformation that mixes channels with positions; write it again.")
    matrix = np.eye(3)
    matrix[:2] = stored[np.ix_(rows, [*columns, len(axes)])]
    return matrix
