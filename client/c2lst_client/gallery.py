"""Real patches beside the synthetic ones that belong to them, read from the pair files a patch at a time.

Two galleries: of held-out spots, whose own expression a patch was generated from (does the tissue follow it?), and of the
pairs for co-training, whose expression was mixed around a training spot.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from c2lst_client.sites import Site
from c2lst_client.spots import pair_files
from c2lst_client.spots.pairs import PairSet
from c2lst_shared.errors import BadArtefact, BadInput

if TYPE_CHECKING:
    import h5py

Kind: TypeAlias = Literal["held-out", "pairs"]
SOURCE = "source"  # the column of the pairs that names the spot which weighs most


@dataclass(frozen=True)
class Row:
    """One spot: its patch among the prepared spots (None = it is not there) and the patches generated for it."""

    barcode: str
    real: int | None
    synthetic: list[int]


def folder_of(site: Site, kind: Kind | Literal["spots"]) -> Path:
    """Return where these patches lie."""
    return {"held-out": site.conditioning, "pairs": site.synthetic, "spots": site.spots}[kind]


def read_rows(site: Site, kind: Kind) -> list[Row]:
    """Return the spots of a gallery in the order in which their patches were made.

    Raises:
        BadInput: patches are missing yet.
        BadArtefact: files are damaged.
    """
    folder = folder_of(site, kind)
    _open(folder), _open(site.spots)
    numbers = {barcode: number for number, barcode in enumerate(_barcodes(site.spots))}
    belongs_to = _barcodes(folder) if kind == "held-out" else _column(folder / pair_files.EXPRESSION, SOURCE)
    found: dict[str, list[int]] = {}
    for number, barcode in enumerate(belongs_to):
        found.setdefault(barcode, []).append(number)
    return [Row(barcode, numbers.get(barcode), made) for barcode, made in found.items()]


def patch_png(folder: Path, number: int) -> bytes:
    """Return one patch as PNG.

    Raises:
        BadInput: there is none of this number.
        BadArtefact: files are damaged.
    """
    from PIL import Image

    pairs = _open(folder)
    if not 0 <= number < len(pairs):
        raise BadInput(f"There is no patch {number} in {folder}; it has {len(pairs)}.")
    content = io.BytesIO()
    Image.fromarray(pairs.patches([number])[0]).save(content, "PNG", compress_level=1)
    return content.getvalue()


def side_px(folder: Path) -> int:
    """Return the side of the patches of a folder, in pixels."""
    return _open(folder).image_px


def _open(folder: Path) -> PairSet:
    try:
        stamps = tuple((folder / name).stat().st_mtime_ns for name in (pair_files.PATCHES, pair_files.EXPRESSION))
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no patches yet; run the step that makes them first.") from None
    return _opened(folder, stamps)


@lru_cache(maxsize=64)
def _opened(folder: Path, stamps: tuple[int, ...]) -> PairSet:
    """Open pairs once for as long as their files stay as they are: a page shows many patches.

    Nothing is locked: a page must not keep the worker from writing, and what is read here is never moved or shortened.
    """
    return PairSet.open(folder, locking=False)


def _barcodes(folder: Path) -> list[str]:
    with pair_files.opened(folder / pair_files.PATCHES, locking=False) as file:
        return [bytes(name).decode() for name in file[pair_files.BARCODE][:, 0]]


def _column(path: Path, name: str) -> list[str]:
    """Return a column of text from `obs`: AnnData stores it whole, or as categories and codes."""
    with pair_files.opened(path, locking=False) as file:
        try:
            stored: h5py.Dataset | h5py.Group = file[f"obs/{name}"]
            if hasattr(stored, "keys"):
                words = stored["categories"].asstr()[:]
                return [str(words[code]) for code in stored["codes"][:]]
            return [str(word) for word in stored.asstr()[:]]
        except (KeyError, AttributeError, TypeError, IndexError):
            raise BadArtefact(f"{path} does not say which spots its pairs come from; make the pairs again.") from None
