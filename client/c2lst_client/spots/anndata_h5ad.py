"""AnnData files (`.h5ad`), such as scanpy, squidpy and HEST write them: only what is needed is read, element by element.

The centres are in `obsm["spatial"]`, in pixels of the full-resolution image. The image is the one given, else one beside
the file with its name, else the largest one stored in `uns["spatial"]`, which is written out as a PNG and whose scale
factor is applied. `anndata_table.py` says where counts are looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from c2lst_client.spots.anndata_table import positions, read_table, refuse_huge
from c2lst_client.spots.checks import Found
from c2lst_client.spots.damage import refused
from c2lst_client.spots.legacy_st import image_beside, images_called
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Slide

if TYPE_CHECKING:
    import h5py

SUFFIX = ".h5ad"
LIBRARIES = "uns/spatial"
STORED_IMAGES = (("hires", "tissue_hires_scalef"), ("downscaled_fullres", "tissue_downscaled_fullres_scalef"))
IMAGE_ROWS = 1024  # of a stored image, converted at a time
VISIUM_SCALE = "tissue_hires_scalef"  # the scale factor that marks a Visium library
VISIUM_PITCH_UM = 100.0


@dataclass(frozen=True)
class StoredImage:
    """An image inside the file, and what positions in full resolution are multiplied with to fit it."""

    key: str
    dataset: h5py.Dataset
    scale: float


def recognises(path: Path) -> bool:
    """Say whether `path` is an `.h5ad` file."""
    return path.is_file() and path.name.lower().endswith(SUFFIX)


def read(path: Path, image: Path | None, um_per_px: float | None, image_folder: Path | None) -> Found:
    """Read an `.h5ad`, unchecked.

    Args:
        path: the file.
        image: the image that `obsm["spatial"]` belongs to, or a copy of the stored one.
        um_per_px: scale of the image used, as the user says.
        image_folder: where an image stored in the file is written to; beside the file when not given.

    Raises:
        BadInput: the file cannot be read, or lacks positions, raw counts or an image.
    """
    notes: list[str] = []
    with opened(path) as file:
        table = read_table(file, path, notes)
        centres = positions(file, path, len(table.barcodes))
        stored = _stored_image(file, path)
        slide, scale = _choose_image(path, image, stored, image_folder, notes)
        pitch_um = VISIUM_PITCH_UM if _is_visium(file) else None
        kept = table.on_tissue
    barcodes = [table.barcodes[row] for row in kept]
    return Found(
        counts=table.counts[kept],
        count_barcodes=barcodes,
        genes=table.genes,
        spot_barcodes=barcodes,
        centres=centres[kept] * scale,
        slide=slide,
        source=f"AnnData ({path.name}, image {slide.path.name})",
        counts_from=path.name,
        spots_from=path.name,
        pitch_um=pitch_um,
        um_per_px=um_per_px,
        notes=notes,
    )


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open the file, and translate whatever the HDF5 and AnnData readers raise on a damaged one.

    Raises:
        BadInput: there is no such file, or what is read from it is damaged.
    """
    import h5py

    if not path.is_file():
        raise BadInput(f"There is no file {path}.")
    with refused(path, "AnnData", "open and save it with a current anndata"), h5py.File(path, "r") as file:
        yield file


def _library(file: h5py.File, path: Path) -> h5py.Group | None:
    if LIBRARIES not in file:
        return None
    libraries = [name for name in file[LIBRARIES] if "scalefactors" in file[LIBRARIES][name]]
    if len(libraries) > 1:
        raise BadInput(f"{path} holds {len(libraries)} slides ({', '.join(libraries[:5])}); save each as its own file.")
    return file[LIBRARIES][libraries[0]] if libraries else None


def _is_visium(file: h5py.File) -> bool:
    return any(f"{name}/scalefactors/{VISIUM_SCALE}" in file[LIBRARIES] for name in file.get(LIBRARIES, ()))


def _stored_image(file: h5py.File, path: Path) -> StoredImage | None:
    library = _library(file, path)
    if library is None:
        return None
    for key, factor in STORED_IMAGES:
        if f"images/{key}" in library and f"scalefactors/{factor}" in library:
            scale = float(library[f"scalefactors/{factor}"][()])
            if not 0 < scale <= 1:
                raise BadInput(f"{path} has {factor} {scale}, which is not between 0 and 1; correct it or pass --image.")
            return StoredImage(key, library[f"images/{key}"], scale)
    return None


def _choose_image(
    path: Path, image: Path | None, stored: StoredImage | None, folder: Path | None, notes: list[str]
) -> tuple[Slide, float]:
    """Return the slide, and what positions are multiplied with to fit it."""
    if image is None and stored is not None and not images_called(path.stem, path.parent):
        written = (folder or path.parent) / f"{path.stem}.{stored.key}.png"
        _write_image(stored.dataset, path, written)
        notes.append(f"The {stored.key} image stored in {path.name} is used (scale factor {stored.scale:.4g}).")
        return Slide(written), stored.scale
    slide = Slide(image or image_beside(path, path.stem))
    if stored is not None and slide.size == (stored.dataset.shape[1], stored.dataset.shape[0]):
        notes.append(f"{slide.path.name} is as large as the stored {stored.key} image: its scale factor was applied.")
        return slide, stored.scale
    return slide, 1.0


def _write_image(dataset: h5py.Dataset, path: Path, target: Path) -> None:
    refuse_huge(dataset, path)
    shape = dataset.shape
    if len(shape) != 3 or shape[2] not in (3, 4) or not dataset.size:
        raise BadInput(f"The image stored in {path} has shape {shape}, not height x width x 3; pass --image.")
    pixels = np.empty((*shape[:2], 3), np.uint8)
    for top in range(0, shape[0], IMAGE_ROWS):  # converted whole, a slide would be in memory many times
        part = dataset[top : top + IMAGE_ROWS, :, :3]
        if part.dtype != np.uint8:  # scanpy stores floats between 0 and 1
            part = np.rint(np.clip(np.nan_to_num(part.astype(np.float32)), 0, 1) * 255)
        pixels[top : top + IMAGE_ROWS] = part
    try:
        with atomic.replacing(target) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")
    except OSError as error:
        raise BadInput(f"The image stored in {path} cannot be written to {target} ({error.strerror}); pass --image.") from None
