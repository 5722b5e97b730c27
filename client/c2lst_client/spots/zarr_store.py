"""Zarr stores from elsewhere: opened for reading, with nothing in them that runs code or unpacks without end."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst_client.spots.damage import refused
from c2lst_client.spots.zarr_chunks import MAX_CHUNK_BYTES, checked_chunks
from c2lst_shared.errors import BadInput

if TYPE_CHECKING:
    import zarr

# Some versions of numcodecs also unpickle: what is not named here is not read.
PACKING = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
ARRANGING = (
    "bytes",
    "crc32",
    "crc32c",
    "delta",
    "endian",
    "sharding_indexed",
    "shuffle",
    "transpose",
    "vlen-bytes",
    "vlen-utf8",
)
FORMAT_FILES = (".zgroup", "zarr.json")  # format 2, format 3
INSTALL = "pip install 'c2lst[slides,tables]'"


@contextmanager
def opened(path: Path) -> Iterator[zarr.Group]:
    """Open the group at `path`, and translate whatever Zarr and its readers raise on a damaged store.

    Raises:
        BadInput: Zarr is not installed, or what is read is damaged.
    """
    try:
        import zarr
    except ImportError:
        raise BadInput(f"{path} is a Zarr store, and zarr is not installed; run: {INSTALL}") from None
    with refused(path, "Zarr", "it may be incomplete: copy it again"), warnings.catch_warnings(), checked_chunks():
        warnings.simplefilter("ignore")  # of files that are not Zarr's own, such as shapes.parquet
        yield zarr.open_group(str(path), mode="r", use_consolidated=False)  # a consolidated copy may be out of date


def refuse_unsafe(element: Any, path: Path) -> None:
    """Refuse an array, or a group with an array, whose chunks are packed in unknown ways or are too large to unpack.

    Raises:
        BadInput: it is.
    """
    arrays = [element] if hasattr(element, "chunks") else [array for _, array in element.arrays()]
    for array in arrays:
        metadata = array.metadata.to_dict()
        packed = [metadata.get("compressor"), metadata.get("filters"), metadata.get("codecs")]
        if unknown := sorted(set(_names(packed)) - {*PACKING, *ARRANGING}):
            raise BadInput(f"{path} packs {array.name} with {unknown[0]!r}, which is not read; write it with zstd or blosc.")
        if np.prod(array.chunks, dtype=np.float64) * array.dtype.itemsize > MAX_CHUNK_BYTES:
            raise BadInput(f"{path} keeps {array.name} in chunks of {array.chunks}, too large to unpack; write smaller ones.")
    if not hasattr(element, "chunks"):
        for _, group in element.groups():
            refuse_unsafe(group, path)


def _names(codecs: object) -> Iterator[str]:
    """Yield the names of codecs, and of those inside them."""
    if isinstance(codecs, Mapping):
        name = codecs.get("id", codecs.get("name"))
        if name is not None:
            yield str(name)
        yield from _names(codecs.get("configuration", {}).get("codecs"))
        yield from _names(codecs.get("configuration", {}).get("index_codecs"))
    elif isinstance(codecs, Sequence) and not isinstance(codecs, str):
        for codec in codecs:
            yield from _names(codec)
