"""HEST-1k samples: for an ID, `st/ID.h5ad` with `wsis/ID.tif` or `patches/ID.h5` beside it, and `metadata/ID.json`.

The centres in `obsm["spatial"]` are in pixels of the whole-slide image, which is used when it is there. Otherwise the patches
make the slide (`patch_stack.py`): there are fewer of them than spots, and they are joined to the spots by barcode. HEST cuts
them at 0.5 um per pixel whatever the scan's scale, so 224 px show 112 um, while their corners are in pixels of the scan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from c2lst_client.spots import anndata_h5ad
from c2lst_client.spots.anndata_table import positions, read_table
from c2lst_client.spots.checks import Centres, Found, unique_names
from c2lst_client.spots.legacy_st import images_called
from c2lst_client.spots.patch_stack import SLACK_PX, PatchStack, StoredPatches, read_stored
from c2lst_client.spots.scale import AGREEMENT, GIVEN
from c2lst_shared.errors import BadInput
from c2lst_shared.images.slide import Picture, Slide

TABLES = ("st", "adata")  # folders of .h5ad files; HEST's benchmark calls it adata
PATCHES, SLIDES, METADATA = "patches", "wsis", "metadata"
PATCHES_SUFFIX, SLIDE_SUFFIX, METADATA_SUFFIX = ".h5", ".tif", ".json"
ESTIMATED, EMBEDDED = "pixel_size_um_estimated", "pixel_size_um_embedded"  # um/px: from the spots, and as the scanner says
PITCH = "inter_spot_dist"  # um
PATCH_UM_PER_PX = 0.5  # of HEST's patches
SIDE_AGREEMENT = 0.02  # how far a patch's side may be from a known one
MAX_METADATA_BYTES = 1 << 20


@dataclass(frozen=True)
class Sample:
    """The files of one ID; those but the table may be missing."""

    table: Path
    patches: Path | None
    slide: Path | None
    metadata: Path | None


def recognises(path: Path) -> bool:
    """Say whether `path` is a folder in HEST's layout, or a sample's `st/ID.h5ad` or `patches/ID.h5`."""
    if path.is_dir():
        return bool(_tables(path)) and any((path / name).is_dir() for name in (PATCHES, SLIDES))
    if path.suffix.lower() == anndata_h5ad.SUFFIX and path.parent.name in TABLES:
        sample = _sample(path)
        return sample.patches is not None or sample.slide is not None
    return path.suffix.lower() == PATCHES_SUFFIX and path.parent.name == PATCHES


def read(path: Path, image: Path | None, um_per_px: float | None, _image_folder: Path | None) -> Found:
    """Read a sample, unchecked.

    Args:
        path: the folder, the table or the patches of the sample.
        image: the image that `obsm["spatial"]` belongs to; instead of the sample's own.
        um_per_px: scale of that image; from the metadata when not given.

    Raises:
        BadInput: there is not one sample, or a file of it is missing or cannot be read as what it should be.
    """
    sample = _sample(_table_of(path))
    notes: list[str] = []
    with anndata_h5ad.opened(sample.table) as file:
        table = read_table(file, sample.table, notes)
        centres = positions(file, sample.table, len(table.barcodes))
    unique_names(table.barcodes, "spot", sample.table.name)
    metadata = _read_metadata(sample.metadata)
    scale, scale_from = _scale(um_per_px, metadata, sample, notes)
    rows, spot_barcodes, spots_from = table.on_tissue, table.barcodes, sample.table
    slide: Picture
    if (whole := image or sample.slide) is not None:
        slide = Slide(whole)
    elif sample.patches is not None:
        stored = read_stored(sample.patches)
        unique_names(stored.barcodes, "patch", sample.patches.name)
        rows = _with_patch(rows, table.barcodes, stored, sample.patches, notes)
        slide, centres = _stack(sample.patches, stored, table.barcodes, centres, scale)
        scale = _patches_scale(slide, scale, notes)
        spot_barcodes, spots_from = stored.barcodes, sample.patches
    else:
        raise BadInput(f"There are neither {SLIDES} nor {PATCHES} for {sample.table}; add them or pass --image.")
    return Found(
        counts=table.counts[rows],
        count_barcodes=[table.barcodes[row] for row in rows],
        genes=table.genes,
        spot_barcodes=spot_barcodes,
        centres=centres,
        slide=slide,
        source=f"HEST ({sample.table.name}, {slide.path.parent.name}/{slide.path.name})",
        counts_from=sample.table.name,
        spots_from=spots_from.name,
        pitch_um=_positive(metadata, PITCH),
        um_per_px=scale,
        um_per_px_from=scale_from,
        notes=notes,
    )


def _tables(folder: Path) -> list[Path]:
    return [
        path
        for name in TABLES
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() == anndata_h5ad.SUFFIX and not path.name.startswith(".")
    ]


def _table_of(path: Path) -> Path:
    """Return the table of the sample that `path` leads to."""
    if path.is_dir():
        tables = _tables(path)
        if len(tables) > 1:
            names = ", ".join(table.stem for table in tables[:5]) + (", ..." if len(tables) > 5 else "")
            raise BadInput(f"{path} holds {len(tables)} samples ({names}); give one of them, such as {tables[0]}.")
        return tables[0]
    if path.suffix.lower() == anndata_h5ad.SUFFIX:
        return path
    root, name = path.parent.parent, path.stem + anndata_h5ad.SUFFIX
    for folder in TABLES:
        if (root / folder / name).is_file():
            return root / folder / name
    raise BadInput(f"There is no {root / TABLES[0] / name}, the counts that belong to {path}; add it.")


def _sample(table: Path) -> Sample:
    root, name = table.parent.parent, table.stem
    patches, metadata = root / PATCHES / (name + PATCHES_SUFFIX), root / METADATA / (name + METADATA_SUFFIX)
    slides = images_called(name, root / SLIDES)
    return Sample(
        table,
        patches if patches.is_file() else None,
        next((slide for slide in slides if slide.name == name + SLIDE_SUFFIX), slides[0] if slides else None),
        metadata if metadata.is_file() else None,
    )


def _read_metadata(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(MAX_METADATA_BYTES + 1))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{path} is no JSON object of the sample's metadata; copy it again, or remove it and pass --um-per-px.")
    return found


def _positive(metadata: dict[str, Any], key: str) -> float | None:
    value = metadata.get(key)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if usable and value is not None else None


def _scale(given: float | None, metadata: dict[str, Any], sample: Sample, notes: list[str]) -> tuple[float | None, str]:
    """Return the scale of the whole-slide image and who says so: the user, else the metadata."""
    estimated, embedded = _positive(metadata, ESTIMATED), _positive(metadata, EMBEDDED)
    if estimated and embedded and not math.isclose(estimated, embedded, rel_tol=AGREEMENT):
        notes.append(f"The metadata estimate {estimated:.4g} um/px from the spots, and the scanner wrote {embedded:.4g}.")
    for value, key in ((estimated, ESTIMATED), (embedded, EMBEDDED)):
        if given is None and value is not None and sample.metadata is not None:
            return value, f"{key} in {sample.metadata.name}"
    return given, GIVEN


def _with_patch(rows: Sequence[int], barcodes: Sequence[str], stored: StoredPatches, path: Path, notes: list[str]) -> list[int]:
    """Leave out spots without a patch; all of them are kept when none has one, for `checked` to refuse."""
    present = set(stored.barcodes)
    kept = [row for row in rows if barcodes[row] in present]
    if kept and len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} of {len(rows)} spots have no patch in {path.name} and are left out.")
    return kept or list(rows)


def _stack(
    path: Path, stored: StoredPatches, barcodes: Sequence[str], centres: Centres, scale: float | None
) -> tuple[PatchStack, Centres]:
    """Return the patches as a slide, and the centre of each: its spot's, or its own middle if the table lacks the spot."""
    row_of = {barcode: row for row, barcode in enumerate(barcodes)}
    numbers = [number for number, barcode in enumerate(stored.barcodes) if barcode in row_of]
    side = float(stored.image_px)  # without a spot in common; `checked` refuses that in its own words
    middles = stored.coords + side / 2
    if numbers:
        known = centres[[row_of[stored.barcodes[number]] for number in numbers]]
        side = _side(path, stored, numbers, known - stored.coords[numbers], scale)
        middles = stored.coords + side / 2
        middles[numbers] = known
    return PatchStack(path, stored.coords, side, stored.image_px, scale), middles


def _side(path: Path, stored: StoredPatches, numbers: Sequence[int], offsets: Centres, scale: float | None) -> float:
    """Return how many pixels of the slide a patch shows, from how far its corner is from its spot."""
    typical = float(np.median(offsets))
    stray = np.abs(offsets - typical).max(axis=1)
    if typical <= 0 or stray.max() > 2 * SLACK_PX:
        name = stored.barcodes[numbers[int(stray.argmax())]]
        raise BadInput(
            f"{path} has patches that are not centred on their spots, such as that of {name!r}; give patches and table of one "
            "sample, whose coords are the patches' upper left corners in pixels of the slide."
        )
    measured = 2 * typical
    likely = [stored.image_px * PATCH_UM_PER_PX / scale] if scale else []
    likely.append(float(stored.image_px))
    best = min(likely, key=lambda side: abs(side - measured))
    return best if abs(best - measured) <= max(2 * SLACK_PX, SIDE_AGREEMENT * measured) else measured


def _patches_scale(stack: PatchStack, scale: float | None, notes: list[str]) -> float:
    """Return the scale, and note what a patch shows."""
    hest_um = PATCH_UM_PER_PX * stack.image_px
    if scale is None:
        raise BadInput(
            f"The scale of the slide behind {stack.path} is not known: pass --um-per-px, the micrometres that one pixel of it "
            f"shows; patches of HEST's {PATCH_UM_PER_PX:g} um per pixel would make it {hest_um / stack.side:.4g}."
        )
    notes.append(
        f"There is no whole-slide image: patches of {stack.image_px} px are used, which show {stack.side * scale:.1f} um each; "
        "larger ones cannot be cut."
    )
    return scale
