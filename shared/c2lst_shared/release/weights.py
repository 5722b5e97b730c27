"""The weights file: safetensors only, and nothing in it is believed before it is checked against the manifest.

A loader reads the header's length first, caps it, compares every name, shape and dtype with what was expected, then hashes
and parses the same bytes, so that what was verified is what is loaded. Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.manifest import Dtype, TensorSpec

if TYPE_CHECKING:
    import torch

MAX_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8  # the little-endian header length with which the file begins
DTYPE_BYTES: dict[Dtype, int] = {"F32": 4, "BF16": 2, "F16": 2}
METADATA_KEY = "__metadata__"  # safetensors' place for free text, beside the tensors' names
CHUNK_BYTES = 8 << 20


class _Entry(NamedTuple):
    """What the header says of one tensor: `begin` and `end` count bytes from the end of the header."""

    spec: TensorSpec
    begin: int
    end: int


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at `path`, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorSpec]:
    """Return name -> (shape, dtype) of a state dict, as the manifest lists it.

    Raises:
        BadInput: a tensor has a dtype that releases do not carry.
    """
    import torch

    spelling: dict[torch.dtype, Dtype] = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
    specs = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in spelling:
            raise BadInput(f"Tensor {name!r} is {tensor.dtype}; weights are {', '.join(map(str, spelling))}: convert it first.")
        specs[name] = TensorSpec(shape=tuple(tensor.shape), dtype=spelling[tensor.dtype])
    return specs


def save_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` and the free text `metadata` to `path`, atomically.

    Raises:
        BadInput: a tensor has a dtype that releases do not carry.
    """
    from safetensors.torch import save_file

    describe_tensors(tensors)
    with atomic.replacing(path) as temporary:
        save_file(
            {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary, metadata=dict(metadata or {})
        )
        temporary.chmod(0o644)  # safetensors puts a new file, readable by the owner only, in the place of ours


def read_specs(path: Path) -> dict[str, TensorSpec]:
    """Return name -> (shape, dtype) from the header of the weights file at `path`, without reading its tensors.

    Raises:
        BadArtefact: the header is too long, malformed, or lists a tensor that releases do not carry.
    """
    with path.open("rb") as file:
        return {name: entry.spec for name, entry in _parse_header(_read_header(file, path), path).items()}


def check_weights(path: Path, expected: Mapping[str, TensorSpec]) -> None:
    """Check the weights file at `path` as `load_weights` does, in a memory that does not grow with it.

    Raises:
        BadArtefact: the file's header, size, names, shapes, dtypes or values are not what was expected.
    """
    with path.open("rb") as file:
        for name, spec in _stored(file, path, expected):
            left = _size(spec)
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise BadArtefact(f"{path} was cut off while it was read; do not use it.")
                left -= len(chunk)
                if not _all_finite(chunk, spec.dtype):
                    raise _not_finite(path, name)


def load_weights(path: Path, expected: Mapping[str, TensorSpec], *, sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of the weights file at `path` once all of them are what `expected` says.

    Args:
        path: the file.
        expected: the exact set of names, each with its shape and dtype.
        sha256: the digest of the whole file; the bytes that are hashed are those that are loaded.

    Raises:
        BadArtefact: the file's header, size, names, shapes, dtypes, digest or values are not what was expected.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    with path.open("rb") as file:
        _stored(file, path, expected)
        file.seek(0)
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BadArtefact(f"{path} does not have the SHA-256 {sha256[:16]}... that was signed; do not use it.")
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except SafetensorError as error:
        raise BadArtefact(f"{path} is not a valid safetensors file: {_first_line(error)}; do not use it.") from error
    # The header was read a second time with the rest, so what was parsed is compared again.
    _check_specs(path, describe_tensors(tensors), expected)
    for name, tensor in tensors.items():
        # A sum is finite only if all of its terms are, and it costs a third of looking at each.
        if not tensor.sum().isfinite() and not tensor.isfinite().all():
            raise _not_finite(path, name)
    return tensors


def _stored(file: BinaryIO, path: Path, expected: Mapping[str, TensorSpec]) -> list[tuple[str, TensorSpec]]:
    """Check header and size; return the tensors in the order of their bytes, where `file` then stands."""
    header = _read_header(file, path)
    entries = _parse_header(header, path)
    _check_specs(path, {name: entry.spec for name, entry in entries.items()}, expected)
    size = LENGTH_BYTES + len(header) + sum(_size(spec) for spec in expected.values())
    found = os.fstat(file.fileno()).st_size
    if found != size:
        raise BadArtefact(f"{path} has {found} bytes where its tensors need {size}; do not use it.")
    end = 0
    for name, entry in entries.items():
        if (entry.begin, entry.end) != (end, end + _size(entry.spec)):
            raise BadArtefact(f"Tensor {name!r} of {path} does not begin where the one before it ends; do not use it.")
        end = entry.end
    return [(name, entry.spec) for name, entry in entries.items()]


def _read_header(file: BinaryIO, path: Path) -> bytes:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise BadArtefact(f"The header of {path} claims {length} bytes, more than {MAX_HEADER_BYTES}; do not use this file.")
    header = file.read(length)
    if not header or len(header) != length:
        raise BadArtefact(f"{path} ends inside its header, so it is not a whole weights file; do not use it.")
    return header


def _parse_header(header: bytes, path: Path) -> dict[str, _Entry]:
    """Return what the header says of each tensor, in the order of their bytes."""
    try:
        described = json.loads(header, object_pairs_hook=_without_duplicates)
        described.pop(METADATA_KEY, None)
        entries = {name: _entry(**one) for name, one in described.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadArtefact(
            f"The header of {path} is not that of a c2lst weights file: {_first_line(error)}; do not use it."
        ) from error
    return dict(sorted(entries.items(), key=lambda item: item[1].begin))


def _entry(*, shape: tuple[int, ...], dtype: Dtype, data_offsets: tuple[int, int]) -> _Entry:
    begin, end = map(operator.index, data_offsets)
    return _Entry(TensorSpec(shape=shape, dtype=dtype), begin, end)


def _check_specs(path: Path, found: Mapping[str, TensorSpec], expected: Mapping[str, TensorSpec]) -> None:
    if found.keys() != expected.keys():
        name = min(found.keys() ^ expected.keys())
        what = "lacks tensor" if name in expected else "has an unexpected tensor"
        raise BadArtefact(f"{path} {what} {name!r}; do not use it.")
    for name, spec in expected.items():
        if found[name] != spec:
            raise BadArtefact(
                f"Tensor {name!r} of {path} is {found[name].dtype} {list(found[name].shape)}, "
                f"not {spec.dtype} {list(spec.shape)} as expected; do not use it."
            )
        if 0 in spec.shape:
            raise BadArtefact(f"Tensor {name!r} of {path} has a dimension of size zero {list(spec.shape)}; do not use it.")


def _all_finite(chunk: bytes, dtype: Dtype) -> bool:
    numbers = np.frombuffer(chunk, np.uint16 if dtype == "BF16" else np.dtype(f"<f{DTYPE_BYTES[dtype]}"))
    if dtype == "BF16":  # which numpy does not know: finite means that not all bits of the exponent are set
        return bool(((numbers & 0x7F80) != 0x7F80).all())
    return bool(np.isfinite(numbers).all())


def _not_finite(path: Path, name: str) -> BadArtefact:
    return BadArtefact(f"Tensor {name!r} of {path} holds NaN or infinite values; do not use it.")


def _size(spec: TensorSpec) -> int:
    """Return the bytes that a tensor takes in the file."""
    return math.prod(spec.shape) * DTYPE_BYTES[spec.dtype]


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
