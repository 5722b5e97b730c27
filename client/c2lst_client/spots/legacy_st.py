"""Legacy Spatial Transcriptomics arrays (Stahl et al. 2016; Andersson et al. 2021): one folder per slide or for several.

For a slide called NAME there are a table of counts (one row per spot), an image, and one of two spot tables:

- `NAME_spots.tsv`: column `spot` holds the row name in the counts (such as `X16.92x9.015`);
- `NAME_selection.tsv`: columns `x` and `y` make the row name in the counts (`10x11`), `selected` marks the spots on tissue.

Both give the spot's centre in pixels of the image. Tables may be .tsv, .csv or .txt, and gzip-compressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst_client.spots.checks import Centres, Found
from c2lst_client.spots.tables import numbers, read_columns, read_counts
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import IMAGE_SUFFIXES, Slide

TABLE_SUFFIXES = (".tsv", ".tsv.gz", ".csv", ".csv.gz", ".txt", ".txt.gz")
SPOTS_ENDING, SELECTION_ENDING = "_spots", "_selection"
PIXEL_X, PIXEL_Y = "pixel_x", "pixel_y"
SPOT = "spot"  # in NAME_spots
ARRAY_X, ARRAY_Y, SELECTED = "x", "y", "selected"  # in NAME_selection
PITCH_UM = 200.0  # between the centres of neighbouring spots of the array


@dataclass(frozen=True)
class LegacySlide:
    """The files of one slide; `spots` is None when there is no spot table, which is then asked for."""

    name: str
    counts: Path
    spots: Path | None


def table_name(path: Path) -> str | None:
    """Return the file's name without its table suffix, or None if it is no table."""
    for suffix in TABLE_SUFFIXES:
        if path.name.lower().endswith(suffix) and not path.name.startswith("."):
            return path.name[: -len(suffix)]
    return None


def find_slides(folder: Path) -> list[LegacySlide]:
    """Return the slides of a folder: every table of counts, those with a spot table only if there are such."""
    tables = [(name, path) for path in sorted(folder.iterdir()) if path.is_file() and (name := table_name(path))]
    spot_tables = {name: path for name, path in tables if name.endswith((SPOTS_ENDING, SELECTION_ENDING))}
    slides = [
        LegacySlide(name, path, spot_tables.get(name + SPOTS_ENDING) or spot_tables.get(name + SELECTION_ENDING))
        for name, path in tables
        if name not in spot_tables
    ]
    return [slide for slide in slides if slide.spots] or slides


def find_slide(path: Path) -> LegacySlide:
    """Return the slide that a table belongs to; the table may be its counts or its spot table.

    Raises:
        BadInput: there is not one table of counts that belongs to a spot table.
    """
    name = str(table_name(path)).removesuffix(SPOTS_ENDING).removesuffix(SELECTION_ENDING)
    slides = [slide for slide in find_slides(path.parent) if path in (slide.counts, slide.spots)]
    if len(slides) == 1:
        return slides[0]
    if name == table_name(path):  # its folder has other slides that are complete; say what this one lacks
        return LegacySlide(name, path, None)
    raise BadInput(f"{path} is a spot table with {len(slides)} tables of counts beside it; put one {name}.tsv.gz there.")


def recognises(path: Path) -> bool:
    """Say whether `path` is one of the tables of a slide."""
    return path.is_file() and table_name(path) is not None


def read(path: Path, image: Path | None, um_per_px: float | None, _image_folder: Path | None) -> Found:
    """Read the tables of a slide, unchecked.

    Args:
        path: one of them.
        image: the image that the positions belong to; found beside the tables by its name when not given.
        um_per_px: scale of the image, as the user says.

    Raises:
        BadInput: a file is missing, or cannot be read as what it should be.
    """
    slide = find_slide(path)
    if slide.spots is None:
        raise BadInput(
            f"There is no {slide.name}{SPOTS_ENDING}.tsv or {slide.name}{SELECTION_ENDING}.tsv beside {slide.counts}; "
            "it should give each spot's centre in pixels of the image."
        )
    image = image or image_beside(slide.counts, slide.name)
    notes: list[str] = []
    spot_barcodes, centres = _read_spot_table(slide.spots, notes)
    count_barcodes, genes, counts = read_counts(slide.counts)
    if slide.spots.name.startswith(slide.name + SELECTION_ENDING):
        count_barcodes = [_array_name(*name.removeprefix("X").split("x", 1)) for name in count_barcodes]
    return Found(
        counts=counts,
        count_barcodes=count_barcodes,
        genes=genes,
        spot_barcodes=spot_barcodes,
        centres=centres,
        slide=Slide(image),
        source=f"legacy ST array ({slide.counts.name}, {slide.spots.name}, {image.name})",
        counts_from=slide.counts.name,
        spots_from=slide.spots.name,
        pitch_um=PITCH_UM,
        um_per_px=um_per_px,
        notes=notes,
    )


def image_beside(path: Path, name: str) -> Path:
    """Return the one image called `name` in the folder of `path`.

    Raises:
        BadInput: there is none, or more than one.
    """
    images = images_called(name, path.parent)
    if not images:
        raise BadInput(f"There is no image {name}.jpg (or .png, .tif) beside {path.name}; pass its path with --image.")
    if len(images) > 1:
        raise BadInput(f"There are {images[0].name} and {images[1].name} beside {path.name}; pass one of them with --image.")
    return images[0]


def images_called(name: str, folder: Path) -> list[Path]:
    """Return the images called `name` in a folder, which need not exist; `NAME.ome.tif` is one."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.name.startswith(name) and file.name[len(name) :].lower() in IMAGE_SUFFIXES]


def _read_spot_table(path: Path, notes: list[str]) -> tuple[list[str], Centres]:
    columns = read_columns(path)
    centres = np.column_stack([numbers(path, columns, PIXEL_X), numbers(path, columns, PIXEL_Y)])
    if str(table_name(path)).endswith(SPOTS_ENDING):
        if SPOT not in columns:
            raise BadInput(f"{path} has no column {SPOT!r} but {', '.join(columns)}; it should name the rows of the counts.")
        return columns[SPOT], centres
    numbers(path, columns, ARRAY_X), numbers(path, columns, ARRAY_Y)  # refuse what is no array position
    barcodes = [_array_name(x, y) for x, y in zip(columns[ARRAY_X], columns[ARRAY_Y], strict=True)]
    if SELECTED not in columns:
        return barcodes, centres
    kept = numbers(path, columns, SELECTED) > 0
    if not kept.all():
        notes.append(f"{int((~kept).sum())} spots that {path.name} does not select are left out.")
    return [barcode for barcode, keep in zip(barcodes, kept, strict=True) if keep], centres[kept]


def _array_name(x: str, y: str = "") -> str:
    """Return the spot's name from its position on the array: `10x11`, also for "10.0" and "11.0"."""
    try:
        return f"{float(x):g}x{float(y):g}"
    except ValueError:
        return f"{x}x{y}" if y else x
