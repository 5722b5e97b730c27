"""SpatialData stores (`.zarr`), read without the spatialdata package: one image, circles, and a table that annotates them.

The layout on the disk (formats 0.1 to 0.3 of SpatialData, Zarr 2 and 3) is: `images/NAME` an OME-Zarr image with its levels;
`shapes/NAME` with a `shapes.parquet` (geometry as WKB or GeoArrow points, radius) or, in format 0.1, arrays `coords` and
`Index`; `tables/NAME` (once `table/NAME`) an AnnData whose `uns["spatialdata_attrs"]` says which shapes its rows belong to.
Image and shapes each say how they lie in named coordinate systems: through one that they share, circles are brought to the
image's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst_client.spots.anndata_table import CountTable, element, read_table
from c2lst_client.spots.checks import Centres, Found, unique_names
from c2lst_client.spots.circles import Circles, read_circles
from c2lst_client.spots.ngff_transforms import Matrix, to_systems
from c2lst_client.spots.scale import GIVEN
from c2lst_client.spots.zarr_picture import ZarrPicture, multiscale_of, open_picture
from c2lst_client.spots.zarr_store import FORMAT_FILES, opened, refuse_unsafe
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Picture, Slide

if TYPE_CHECKING:
    import zarr

SUFFIX = ".zarr"
IMAGES, SHAPES, TABLES = "images", "shapes", ("tables", "table")
ATTRIBUTES = "uns/spatialdata_attrs"
REGION, REGION_KEY, INSTANCE_KEY = "region", "region_key", "instance_key"
TRANSFORMATIONS = "coordinateTransformations"
GLOBAL = "global"  # SpatialData's default coordinate system
SUPPORTED = "a SpatialData store with images, shapes (circles) and tables"


def recognises(path: Path) -> bool:
    """Say whether `path` is a Zarr store, or one of its images: `NAME.zarr/images/NAME`."""
    store = _store_of(path)
    return store.is_dir() and (store.name.endswith(SUFFIX) or any((store / name).is_file() for name in FORMAT_FILES))


def read(path: Path, image: Path | None, um_per_px: float | None, _image_folder: Path | None) -> Found:
    """Read a store, unchecked.

    Args:
        path: the store, or the one of its images to use.
        image: an image file instead; the shapes' coordinate system is taken to be its pixels.
        um_per_px: scale of the image, as the user says; from the coordinate system when not given and that is in micrometres.

    Raises:
        BadInput: the store lacks an image, circles or a table, has several of them, or uses what is not supported.
    """
    store = _store_of(path)
    notes: list[str] = []
    with opened(store) as root:
        table_path = store / _only(root, TABLES, store, "table")
        group = root[str(table_path.relative_to(store))]
        refuse_unsafe(group, table_path)
        table = read_table(group, table_path, notes)
        shapes, instances = _annotated(root, group, table, store, notes)
        shapes_path = store / SHAPES / shapes
        circles = read_circles(root[f"{SHAPES}/{shapes}"], shapes_path)
        systems = to_systems(root[f"{SHAPES}/{shapes}"].attrs.asdict().get(TRANSFORMATIONS), shapes_path)
        slide: Picture
        if image is None:
            slide, to_pixels = _stored_slide(root, _image_path(root, path, store), systems, shapes_path)
        else:
            slide, to_pixels = _given_slide(image, systems, notes)
    unique_names(circles.names, "circle", f"{SHAPES}/{shapes}")
    barcodes, places = _joined(instances, circles, table_path, shapes_path, notes)
    on_tissue = set(table.on_tissue)
    rows = [row for row, barcode in enumerate(table.barcodes) if barcode in instances and row in on_tissue]
    from_store = um_per_px is None and slide.um_per_px is not None and image is None
    return Found(
        counts=table.counts[rows],
        count_barcodes=[table.barcodes[row] for row in rows],
        genes=table.genes,
        spot_barcodes=barcodes,
        centres=_moved(circles.centres[places], to_pixels),
        slide=slide,
        source=f"SpatialData ({store.name}: {table_path.name}, {shapes}, {slide.path.name})",
        counts_from=f"{table_path.relative_to(store)} of {store.name}",
        spots_from=f"{SHAPES}/{shapes} of {store.name}",
        pitch_um=None,
        um_per_px=slide.um_per_px if from_store else um_per_px,
        um_per_px_from=f"the coordinate systems of {store.name}" if from_store else GIVEN,
        notes=notes,
    )


def _store_of(path: Path) -> Path:
    return path.parent.parent if path.parent.name == IMAGES and path.parent.parent.name.endswith(SUFFIX) else path


def _names(root: zarr.Group, place: str) -> list[str]:
    group: Any = root.get(place, {})
    return sorted(str(name) for name in group)


def _only(root: zarr.Group, places: Sequence[str], store: Path, what: str) -> str:
    """Return the one element that the groups at `places` hold, as PLACE/NAME."""
    found = [f"{place}/{name}" for place in places for name in _names(root, place)]
    if len(found) != 1:
        listed = f"{len(found)} {what}s ({', '.join(found[:5])})" if found else f"no {what}"
        raise BadInput(f"{store} has {listed}, and one is needed; give {SUPPORTED}, one slide per store.")
    return found[0]


def _image_path(root: zarr.Group, path: Path, store: Path) -> Path:
    """Return the group of the image to use: the given one, or the only one."""
    names = _names(root, IMAGES)
    if path != store:
        if path.name not in names:
            raise BadInput(f"{store} has no image {path.name!r} but {', '.join(names) or 'none'}; give one of them.")
        return path
    if not names:
        raise BadInput(f"{store} has no image; give {SUPPORTED}, or pass --image.")
    if len(names) > 1:
        raise BadInput(
            f"{store} has {len(names)} images ({', '.join(names[:5])}); give one as the path: {store / IMAGES / names[0]}."
        )
    return store / IMAGES / names[0]


def _annotated(root: zarr.Group, group: Any, table: CountTable, store: Path, notes: list[str]) -> tuple[str, dict[str, str]]:
    """Return the shapes that the table annotates, and which of them belongs to each barcode."""
    shapes = _names(root, SHAPES)
    if not shapes:
        raise BadInput(f"{store} has no shapes; give {SUPPORTED}.")
    if ATTRIBUTES not in group:
        raise BadInput(
            f"The table of {store} does not say which shapes it annotates (uns['spatialdata_attrs']); write it anew."
        )
    attributes = element(group, ATTRIBUTES)
    region_key, instance_key = (str(attributes.get(key)) for key in (REGION_KEY, INSTANCE_KEY))
    for key in (region_key, instance_key):
        if key not in table.obs.columns:
            raise BadInput(f"The table of {store} has no column {key!r} to find its circles by; write it anew.")
    unique_names(table.barcodes, "spot", f"the table of {store.name}")
    regions = [str(region) for region in table.obs[region_key]]
    present = sorted(set(regions) & set(shapes))
    if not present:
        raise BadInput(
            f"The table of {store} annotates {regions[0] if regions else None!r}, but its shapes are {', '.join(shapes[:5])}."
        )
    if len(present) > 1:
        raise BadInput(
            f"The table of {store} annotates {len(present)} slides ({', '.join(present[:5])}); save each as its own store."
        )
    kept = [row for row, region in enumerate(regions) if region == present[0]]
    if len(kept) < len(regions):
        notes.append(f"{len(regions) - len(kept)} rows of the table that belong to other elements are left out.")
    instances = [str(instance) for instance in table.obs[instance_key]]
    return present[0], {table.barcodes[row]: instances[row] for row in kept}


def _stored_slide(
    root: zarr.Group, path: Path, systems: dict[str, tuple[Matrix, bool]], shapes: Path
) -> tuple[ZarrPicture, Matrix]:
    """Return the image, and the matrix from the shapes' own positions to its pixels."""
    group: Any = root[f"{IMAGES}/{path.name}"]
    placed = to_systems(multiscale_of(group, path).get(TRANSFORMATIONS), path)
    shared = sorted(set(systems) & set(placed), key=lambda name: (name != GLOBAL, name))
    if not shared:
        raise BadInput(
            f"{path} lies in {', '.join(sorted(placed))} and {shapes.name} in {', '.join(sorted(systems))}, which are "
            "different coordinate systems; align them in spatialdata first."
        )
    (to_system, _), (from_pixels, in_um) = systems[shared[0]], placed[shared[0]]
    area = abs(float(np.linalg.det(from_pixels[:2, :2])))
    if not area > 0:
        raise BadInput(f"{path} has a coordinate transformation that flattens it; write it again.")
    return open_picture(path, area**0.5 if in_um else None), np.linalg.inv(from_pixels) @ to_system


def _given_slide(image: Path, systems: dict[str, tuple[Matrix, bool]], notes: list[str]) -> tuple[Slide, Matrix]:
    system = min(systems, key=lambda name: (name != GLOBAL, name))
    notes.append(f"Positions in the coordinate system {system!r} are taken as pixels of {image.name}.")
    return Slide(image), systems[system][0]


def _joined(
    instances: dict[str, str], circles: Circles, table: Path, shapes: Path, notes: list[str]
) -> tuple[list[str], list[int]]:
    """Return the barcodes that have a circle, and which one."""
    place_of = {name: place for place, name in enumerate(circles.names)}
    barcodes = [barcode for barcode, instance in instances.items() if instance in place_of]
    if not barcodes:
        first = next(iter(instances.values()))
        raise BadInput(
            f"The instances of {table} (such as {first!r}) and the circles of {shapes} (such as {circles.names[0]!r}) have "
            "nothing in common; write the store again."
        )
    if len(barcodes) < len(circles.names):
        notes.append(
            f"{len(circles.names) - len(barcodes)} circles of {shapes.name} have no row in the table and are left out."
        )
    return barcodes, [place_of[instances[barcode]] for barcode in barcodes]


def _moved(centres: Centres, matrix: Matrix) -> Centres:
    moved: Centres = centres @ matrix[:2, :2].T + matrix[:2, 2]
    return moved
