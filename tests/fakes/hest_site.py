"""The made-up site in the layouts of HEST and SpatialData, written by hand so that tests know every byte."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from PIL import Image

from fakes.small_site import SmallSite

PATCH_PX = 56


def table_of(site: SmallSite) -> anndata.AnnData:
    """Counts with one row per spot."""
    return anndata.AnnData(
        X=scipy.sparse.csr_matrix(np.asarray(site.counts).astype(np.float32)),
        obs=pd.DataFrame(index=site.barcodes),
        var=pd.DataFrame(index=site.genes),
    )


def write_hest(
    site: SmallSite,
    root: Path,
    *,
    wsi: bool = False,
    patches: bool = True,
    skip: int = 0,
    metadata: dict[str, Any] | None = None,
    zoom: int = 1,
) -> Path:
    """Write a HEST sample; patches (without the first `skip`) are shown `zoom` times larger than in the slide."""
    for name in ("st", "patches", "wsis", "metadata"):
        (root / name).mkdir(parents=True, exist_ok=True)
    data = table_of(site)
    data.obsm["spatial"] = site.centres
    data.write_h5ad(root / "st" / f"{site.name}.h5ad")
    if wsi:
        Image.fromarray(site.pixels).save(root / "wsis" / f"{site.name}.tif")
    if patches:
        corners = (site.centres - PATCH_PX // 2).astype(int)[skip:]
        padded = np.pad(site.pixels, ((PATCH_PX, PATCH_PX), (PATCH_PX, PATCH_PX), (0, 0)), mode="edge")
        images = np.stack([padded[y + PATCH_PX : y + 2 * PATCH_PX, x + PATCH_PX : x + 2 * PATCH_PX] for x, y in corners])
        with h5py.File(root / "patches" / f"{site.name}.h5", "w") as file:
            file.create_dataset("img", data=images.repeat(zoom, 1).repeat(zoom, 2), chunks=(1, zoom * 56, zoom * 56, 3))
            file["coords"] = corners
            file["barcode"] = np.array([[barcode.encode()] for barcode in site.barcodes[skip:]])
    if metadata is not None:
        (root / "metadata" / f"{site.name}.json").write_text(json.dumps(metadata))
    return root


def placed(kind: dict[str, Any], axes: str, system: str = "global", unit: str = "unit") -> list[dict[str, Any]]:
    """Return `coordinateTransformations` with one transformation of elements with these axes."""

    def described(name: str) -> dict[str, Any]:
        return {"name": name, "axes": [{"name": axis, "type": "space", "unit": unit} for axis in axes]}

    return [{**kind, "input": described(axes), "output": described(system)}]


IDENTITY = {"type": "identity"}


def write_spatialdata(
    site: SmallSite,
    path: Path,
    *,
    zarr_format: int = 2,
    shapes: str = "wkb",
    image_at: dict[str, Any] = IDENTITY,
    shapes_at: dict[str, Any] = IDENTITY,
    positions: np.ndarray | None = None,
    unit: str = "unit",
    levels: int = 2,
) -> Path:
    """Write a store with one image, circles and a table; `positions` are the circles' in their own coordinates."""
    import zarr

    path.parent.mkdir(parents=True, exist_ok=True)
    positions = site.centres if positions is None else positions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
        root.attrs["spatialdata_attrs"] = {"version": "0.1"}
        write_zarr_image(root, "he", site.pixels, placed(image_at, "cyx", unit=unit), levels)
        group = root.create_group("shapes/spots")
        group.attrs["coordinateTransformations"] = placed(shapes_at, "xy", unit=unit)
        if shapes == "arrays":
            group.attrs["spatialdata_attrs"] = {"geos": {"name": "POINT", "type": 0}, "version": "0.1"}
            group.create_array("coords", data=positions)
            group.create_array("radius", data=np.full(len(positions), 20.0))
            group.create_array("Index", data=np.arange(len(positions)))
        else:
            write_circles(path / "shapes" / "spots", positions, shapes)
        data = table_of(site)
        data.obs["region"] = pd.Categorical(["spots"] * len(site.barcodes))
        data.obs["instance"] = np.arange(len(site.barcodes))
        data.uns["spatialdata_attrs"] = {"region": "spots", "region_key": "region", "instance_key": "instance"}
        tables = root.create_group("tables")
        anndata.io.write_elem(tables, "table", data)
    return path


def write_zarr_image(root: Any, name: str, pixels: np.ndarray, transformations: list[dict[str, Any]], levels: int = 1) -> None:
    group = root.create_group(f"images/{name}")
    datasets = []
    for level in range(levels):
        small = np.asarray(Image.fromarray(pixels).reduce(2**level)).transpose(2, 0, 1)
        group.create_array(str(level), data=np.ascontiguousarray(small), chunks=(3, 256, 256))
        scale = [1.0, 2.0**level, 2.0**level]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    multiscales = [
        {"axes": [{"name": axis} for axis in "cyx"], "datasets": datasets, "coordinateTransformations": transformations}
    ]
    if root.metadata.zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5-dev-spatialdata", "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = multiscales


def write_circles(folder: Path, positions: np.ndarray, encoding: str = "wkb") -> None:
    """Write shapes.parquet; `encoding` is wkb, wkb-big (endian), geoarrow or polygons."""
    points: list[Any] = [struct.pack("<BIdd", 1, 1, x, y) for x, y in positions]
    if encoding == "wkb-big":
        points = [struct.pack(">BIdd", 0, 1, x, y) for x, y in positions]
    if encoding == "geoarrow":
        points = [{"x": x, "y": y} for x, y in positions]
    if encoding == "polygons":
        points = [struct.pack("<BIIIdd", 1, 3, 1, 1, x, y) for x, y in positions]
    pd.DataFrame({"geometry": points, "radius": 20.0}).to_parquet(folder / "shapes.parquet")
