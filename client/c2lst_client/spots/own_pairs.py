"""Folders of pairs that this project wrote (`pair_files.py`): prepared spots are read again, synthetic pairs are refused."""

from __future__ import annotations

import math
from pathlib import Path

from c2lst_client.spots.checks import Found, looks_raw
from c2lst_client.spots.pair_files import EXPRESSION, PATCHES
from c2lst_client.spots.pairs import PairSet
from c2lst_client.spots.patch_stack import PatchStack
from c2lst_client.spots.scale import GIVEN
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.images.slide import Slide


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
        pairs = PairSet.open(folder)
        counts, barcodes, genes, centres = pairs.counts, pairs.barcodes, pairs.genes, pairs.coords
    except BadArtefact as error:
        raise BadInput(str(error)) from None
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


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) and value > 0 else None
