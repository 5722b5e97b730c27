"""Pairs as a SpatialData store: table, circles and patches, written by the `spatialdata` package.

Pair number i of N is row i of `tables["table"]` (its column `pair` says i), circle i of `shapes["pairs"]`, and plane z = i of
`images["patches"]`, an image with the axes c, z, y, x (3 x N x P x P, uint8). One image for all of them: SpatialData opens
every element when it opens a store, so N images would not scale, and patches of one spot share a place, so they make no mosaic.
Circles lie in the system `global`, in pixels of the slide; the stack of patches lies nowhere on it and has a system `patches`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from c2lst_client.spots.pair_files import FINGERPRINT, PROVENANCE, SPATIAL
from c2lst_client.spots.pairs import PairSet
from c2lst_shared.canonical import canonical_json
from c2lst_shared.errors import BadInput

TABLE, SHAPES, IMAGE = "table", "pairs", "patches"
REGION, PAIR = "region", "pair"  # columns of the table: the shapes that it annotates, and which circle
CHUNK = 64  # patches in memory at a time, and in a chunk of the store
INSTALL = "pip install 'c2lst[spatialdata]'"


def require_spatialdata() -> None:
    """Import the package that writes the store.

    Raises:
        BadInput: it is not installed.
    """
    try:
        with _quiet():
            import spatialdata  # noqa: F401
    except ImportError:
        raise BadInput(
            f"A SpatialData store is written by the spatialdata package, which is not installed; run: {INSTALL}"
        ) from None


def write_store(pairs: PairSet, provenance: Mapping[str, Any], path: Path) -> None:
    """Write pairs to a store; patches stream through, `CHUNK` at a time.

    Args:
        pairs: what to write: expression, genes, places and patches, none of the columns about the pairs.
        provenance: where they come from, as JSON can say it; stored in the table's `uns`.
        path: a folder that does not exist yet.

    Raises:
        BadInput: the spatialdata package is not installed.
        BadArtefact: the pairs are damaged.
        OSError: the store cannot be written.
    """
    require_spatialdata()
    with _quiet():
        import dask
        from spatialdata import SpatialData

        store = SpatialData(
            images={IMAGE: _patches(pairs)},
            shapes={SHAPES: _circles(pairs)},
            tables={TABLE: _table(pairs, provenance)},
        )
        with dask.config.set(scheduler="synchronous"):  # one chunk at a time; a thread per core would each hold some
            store.write(path, update_sdata_path=False)


def spot_radius(coords: npt.NDArray[np.float64]) -> float:
    """Return half of the usual distance from a place to the nearest other one, in the unit of `coords` (N x 2).

    Pairs do not say how large their spots are: circles of this radius touch and hardly overlap. It is 1 for a single place.
    """
    from scipy.spatial import KDTree

    places = np.unique(coords, axis=0)
    if len(places) < 2:
        return 1.0
    return float(np.median(KDTree(places).query(places, k=2)[0][:, 1])) / 2


def _table(pairs: PairSet, provenance: Mapping[str, Any]) -> Any:
    import anndata
    import pandas as pd
    from spatialdata.models import TableModel

    numbers = np.arange(len(pairs))
    obs = pd.DataFrame(
        {REGION: pd.Categorical([SHAPES] * len(pairs)), PAIR: numbers}, index=pd.Index(pairs.barcodes, dtype=object)
    )
    table = anndata.AnnData(
        X=pairs.expression,
        obs=obs,
        var=pd.DataFrame(index=pd.Index(pairs.genes, dtype=object)),
        obsm={SPATIAL: pairs.coords},
        uns={PROVENANCE: canonical_json(dict(provenance)), FINGERPRINT: pairs.fingerprint},
    )
    return TableModel.parse(table, region=SHAPES, region_key=REGION, instance_key=PAIR)


def _circles(pairs: PairSet) -> Any:
    from spatialdata.models import ShapesModel

    return ShapesModel.parse(pairs.coords, geometry=0, radius=spot_radius(pairs.coords), index=np.arange(len(pairs)))


def _patches(pairs: PairSet) -> Any:
    """Return the stack as an image whose chunks are read when they are written."""
    import dask.array
    from spatialdata.models import Image3DModel
    from spatialdata.transformations import Identity

    def chunk(block_info: Any) -> npt.NDArray[np.uint8]:
        first, end = block_info[None]["array-location"][1]
        return pairs.patches(range(first, end)).transpose(3, 0, 1, 2)  # c, z, y, x

    side = (pairs.image_px,)
    whole, rest = divmod(len(pairs), CHUNK)
    planes = (CHUNK,) * whole + ((rest,) if rest else ())
    empty = np.empty((0, 0, 0, 0), np.uint8)
    stack = dask.array.map_blocks(chunk, chunks=((3,), planes, side, side), dtype=np.uint8, meta=empty)
    return Image3DModel.parse(stack, dims=("c", "z", "y", "x"), c_coords=["r", "g", "b"], transformations={IMAGE: Identity()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what these libraries deprecate in one another from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
