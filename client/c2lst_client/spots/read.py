"""From a path to a SpotSet: find out what is there, read it with the reader of its format, check it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from c2lst_client.spots import anndata_h5ad, hest, legacy_st, own_pairs, space_ranger, spatialdata_zarr
from c2lst_client.spots.checks import Found, checked
from c2lst_client.spots.spotset import SpotSet
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES

EXPECTED = (
    "NAME.tsv.gz (counts) with NAME_spots.tsv or NAME_selection.tsv (positions) and NAME.jpg (image), one .h5ad file, "
    "the folder outs of Space Ranger, a HEST folder (st with wsis or patches), or a SpatialData .zarr"
)


class Reader(Protocol):
    """What the module of a format offers."""

    def recognises(self, path: Path) -> bool:
        """Say whether `path`, which exists, is of this format; a folder of several formats or slides is of none."""

    def read(self, path: Path, image: Path | None, um_per_px: float | None, image_folder: Path | None) -> Found:
        """Read one slide, unchecked; the arguments are those of `read_spots`."""


READERS: tuple[Reader, ...] = (  # the special before the general
    hest,
    own_pairs,
    spatialdata_zarr,
    anndata_h5ad,
    space_ranger,
    legacy_st,
)

SAMPLES: tuple[Reader, ...] = (hest, spatialdata_zarr, space_ranger)  # whose slides are folders


def read_spots(
    path: Path, image: Path | None = None, um_per_px: float | None = None, *, image_folder: Path | None = None
) -> SpotSet:
    """Read the spots of one slide.

    Args:
        path: a folder with one slide, such as `outs` of Space Ranger, or one of its files: an `.h5ad`, a table of counts or a
            spot table; a HEST sample or a SpatialData store; a folder in which one of these lies alone.
        image: the image that the positions belong to; found by its name when not given.
        um_per_px: micrometres per pixel of that image; from the spot pitch when not given.
        image_folder: where an image stored inside an `.h5ad` is written to; beside the file when not given.

    Returns:
        The checked spots. `source` says what was found, `notes` what was assumed or left out.

    Raises:
        BadInput: the path, or what it leads to, cannot be used.
    """
    if not path.exists():
        raise BadInput(f"There is no file or folder {path}.")
    if image is not None and not image.is_file():
        raise BadInput(f"There is no image {image}.")
    for reader in READERS:
        if reader.recognises(path):
            return checked(reader.read(path, image, um_per_px, image_folder))
    if path.is_dir():
        only = _only_slide(path)
        spots = read_spots(only, image, um_per_px, image_folder=image_folder)
        note = [f"{only.name} is read, the only slide in {path.name}."] if only.is_dir() else []
        return replace(spots, notes=note + spots.notes)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise BadInput(f"{path} is an image; give the counts and pass the image with --image.")
    raise BadInput(f"{path} is of no known format; give {EXPECTED}.")


def _only_slide(folder: Path) -> Path:
    """Return the file or folder that stands for the one slide of a folder of no format."""
    legacy = legacy_st.find_slides(folder)
    found = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(anndata_h5ad.SUFFIX)]
    found += [slide.counts for slide in legacy if slide.spots]
    found += [path for path in sorted(folder.iterdir()) if _is_sample(path)]
    found = found or [slide.counts for slide in legacy]  # which say what they lack; other tables beside slides do not matter
    if not found:
        raise BadInput(f"{folder} holds no spots that can be read; it should hold {EXPECTED}.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:5]) + (", ..." if len(found) > 5 else "")
        raise BadInput(f"{folder} holds {len(found)} slides ({names}); give the path of one of them, such as {found[0]}.")
    return found[0]


def _is_sample(path: Path) -> bool:
    """Say whether `path` is a folder with the files of a slide, such as a sample of Space Ranger with its `outs`."""
    try:
        return path.is_dir() and any(reader.recognises(path) for reader in SAMPLES)
    except OSError:  # a folder that may not be looked into
        return False
