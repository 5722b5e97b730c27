"""Folders of pairs that this project wrote (`pair_files.py`): prepared spots are read again, synthetic pairs are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst_client.spots.anndata_table import refuse_huge
from c2lst_client.spots.checks import Found, looks_raw
from c2lst_client.spots.damage import refused
from c2lst_client.spots.pair_files import DONE, EXPRESSION, PATCHES, opened
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.patch_stack import PatchStack
from c2lst_client.spots.scale import GIVEN
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.slide import Slide

if TYPE_CHECKING:
    import h5py

REMEDY = "make the pairs again"


def recognises(path: Path) -> bool:
    """Say whether `path` is a folder of pairs, or one of its two files."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and path.name not in (PATCHES, EXPRESSION):
        return False
    return (folder / PATCHES).is_file() and (folder / EXPRESSION).is_file()


def read(path: Path, image: Path | None, um_per_px: float | None, _image_folder: Path | None) -> Found:
    """Read pairs as spots, unchecked.

    Args:
        path: the folder or one of its files.
        image: the slide that the spots were cut from, instead of the patches.
        um_per_px: scale of the slide; as stored when not given.

    Raises:
        BadInput: the pairs are not spots with raw counts, are incomplete, or are damaged.
    """
    folder = path if path.is_dir() else path.parent
    try:
        _refuse_huge_tables(folder)
        pairs = PairSet.open(folder)
        counts, barcodes, genes, centres = pairs.counts, pairs.barcodes, pairs.genes, pairs.coords
    except BadArtefact as error:
        raise BadInput(str(error)) from None
    with refused(folder / EXPRESSION, "expression of pairs", REMEDY):
        counts.check_format(full_check=True)  # indices beyond the matrix would read foreign memory
    kind = str(pairs.provenance.get("kind", "pairs"))[:80]
    if not looks_raw(counts) or (counts.data < 0).any():
        raise BadInput(
            f"{folder} holds {kind} whose expression is not raw counts but scaled values; "
            "give the spots that they were made from."
        )
    patch_um, stored_scale = (_positive(pairs.provenance.get(key)) for key in ("patch_um", "um_per_px"))
    if patch_um is None or stored_scale is None:
        raise BadInput(f"{folder} holds {kind} that do not say what a patch shows; give the spots that they were made from.")
    side = patch_um / stored_scale
    notes = [f"Patches of {pairs.image_px} px that show {patch_um:g} um are used as they are, stain-normalised before."]
    stack = PatchStack(folder / PATCHES, centres - side / 2, side, pairs.image_px, stored_scale)
    return Found(
        counts=counts,
        count_barcodes=barcodes,
        genes=genes,
        spot_barcodes=barcodes,
        centres=centres,
        slide=stack if image is None else Slide(image),
        source=f"{kind} ({folder.name})",
        counts_from=EXPRESSION,
        spots_from=EXPRESSION,
        pitch_um=None,
        um_per_px=stored_scale if um_per_px is None else um_per_px,
        um_per_px_from=EXPRESSION if um_per_px is None else GIVEN,
        notes=[] if image else notes,
    )


def _refuse_huge_tables(folder: Path) -> None:
    """Refuse what claims to be larger than it may be, before it is unpacked; patches are read one at a time and may be many."""
    with opened(folder / EXPRESSION) as file, refused(folder / EXPRESSION, "expression of pairs", REMEDY):
        _refuse_huge_within(file, folder / EXPRESSION)
    with opened(folder / PATCHES) as file, refused(folder / PATCHES, "patches of pairs", REMEDY):
        if DONE in file:
            refuse_huge(file[DONE], folder / PATCHES)


def _refuse_huge_within(group: h5py.Group, path: Path) -> None:
    for item in group.values():
        if hasattr(item, "shape"):
            refuse_huge(item, path)
        else:
            _refuse_huge_within(item, path)


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None
