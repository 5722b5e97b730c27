"""The weights file: safetensors only, and nothing in it is believed before it is checked against the manifest.

A loader reads the header's length first, caps it, compares every name, shape and dtype with what was expected, then hashes
and parses the same bytes, so that what was verified is what is loaded. Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.manifest import Dtype, TensorSpec

if TYPE_CHECKING:
    import torch

MAX_HEADER_BYTES = 1 << 20
LENGTH_BYTES = 8  # the little-endian header length with which the file begins
DTYPE_BYTES: dict[Dtype, int] = {"F32": 4, "BF16": 2, "F16": 2}
METADATA_KEY = "__metadata__"  # safetensors' place for free text, beside the tensors' names


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
        return _parse_header(_read_header(file, path), path)


def load_weights(path: Path, expected: Mapping[str, TensorSpec], *, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """Return the tensors of the weights file at `path` once all of them are what `expected` says.

    Args:
        path: the file.
        expected: the exact set of names, each with its shape and dtype.
        sha256: the digest of the whole file, where the caller knows it; the bytes that were hashed are those that are loaded.

    Raises:
        BadArtefact: the file's header, size, names, shapes, dtypes, digest or values are not what was expected.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    with path.open("rb") as file:
        header = _read_header(file, path)
        _check_specs(path, _parse_header(header, path), expected)
        size = LENGTH_BYTES + len(header) + sum(math.prod(spec.shape) * DTYPE_BYTES[spec.dtype] for spec in expected.values())
        found = os.fstat(file.fileno()).st_size
        if found != size:
            raise BadArtefact(f"{path} has {found} bytes where its tensors need {size}; do not use it.")
        file.seek(0)
        content = file.read()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise BadArtefact(f"{path} does not have the SHA-256 {sha256[:16]}... that was signed; do not use it.")
    try:
        tensors: dict[str, torch.Tensor] = load(content)
    except SafetensorError as error:
        raise BadArtefact(f"{path} is not a valid safetensors file: {_first_line(error)}; do not use it.") from error
    # The header was read a second time with the rest, so what was parsed is compared again.
    _check_specs(path, describe_tensors(tensors), expected)
    _check_finite(path, tensors)
    return tensors


def _read_header(file: BinaryIO, path: Path) -> bytes:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise BadArtefact(f"The header of {path} claims {length} bytes, more than {MAX_HEADER_BYTES}; do not use this file.")
    header = file.read(length)
    if not header or len(header) != length:
        raise BadArtefact(f"{path} ends inside its header, so it is not a whole weights file; do not use it.")
    return header


def _parse_header(header: bytes, path: Path) -> dict[str, TensorSpec]:
    try:
        entries = json.loads(header, object_pairs_hook=_without_duplicates)
        entries.pop(METADATA_KEY, None)
        return {name: TensorSpec(shape=entry["shape"], dtype=entry["dtype"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadArtefact(
            f"The header of {path} is not that of a c2lst weights file: {_first_line(error)}; do not use it."
        ) from error


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


def _check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise BadArtefact(f"Tensor {name!r} of {path} holds NaN or infinite values; do not use it.")


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
