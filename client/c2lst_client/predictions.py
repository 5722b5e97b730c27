"""Predictions of the held-out spots as an AnnData file, for scanpy and the like.

`predictions.h5ad`: X is the measured expression (T x G z-scores), `layers["predicted"]` that of the arm which the verdict
rests on, and one more layer per arm under the arm's label. `obsm["spatial"]` has x and y in pixels of the slide, and `uns` has
`provenance` (JSON) and `arm`, the label of the arm in `predicted`. T = held-out spots, G = genes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_shared import atomic
from c2lst_shared.canonical import canonical_json

PREDICTED, SPATIAL = "predicted", "spatial"
PROVENANCE, ARM = "provenance", "arm"
ERROR = "mean_absolute_error"  # column of obs


def write_predictions(
    path: Path,
    *,
    measured: npt.NDArray[np.float32],
    predictions: Mapping[str, npt.NDArray[np.float32]],
    arm: str,
    barcodes: Sequence[str],
    genes: Sequence[str],
    centres: npt.NDArray[np.float64],
    provenance: Mapping[str, Any],
) -> None:
    """Write the file atomically.

    Args:
        path: ends in `.h5ad`.
        measured: T x G.
        predictions: label of an arm -> T x G.
        arm: the label among `predictions` that becomes `predicted`.
        barcodes: T names.
        genes: G names.
        centres: T x 2.
        provenance: what the predictions were made from, as JSON can say it.
    """
    import anndata
    import pandas as pd

    error = np.abs(predictions[arm] - measured).mean(axis=1)
    data = anndata.AnnData(
        X=measured.astype(np.float32),
        obs=pd.DataFrame({ERROR: error}, index=pd.Index(list(barcodes), dtype=object)),
        var=pd.DataFrame(index=pd.Index(list(genes), dtype=object)),
        layers={PREDICTED: predictions[arm]} | {label.replace("/", " "): each for label, each in predictions.items()},
        obsm={SPATIAL: np.asarray(centres, np.float64)},
        uns={PROVENANCE: canonical_json(dict(provenance)), ARM: arm},
    )
    with atomic.replacing(path) as temporary:
        data.write_h5ad(temporary)
