"""A weights file is loaded only when every byte of it is what was announced."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
import torch

from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.manifest import TensorSpec
from c2lst_shared.release.weights import (
    CHUNK_BYTES,
    MAX_HEADER_BYTES,
    check_weights,
    describe_tensors,
    load_weights,
    read_specs,
    save_weights,
    sha256_of,
)

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2, dtype=torch.bfloat16)}
SPECS = {"conv.weight": TensorSpec(shape=(2, 3), dtype="F32"), "conv.bias": TensorSpec(shape=(2,), dtype="BF16")}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, TENSORS, {"made_by": "a test"})
    return path


def raw(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def check_refused(path: Path, expected: dict[str, TensorSpec], message: str) -> None:
    """Neither checking nor loading accepts the file."""
    with pytest.raises(BadArtefact, match=message):
        check_weights(path, expected)
    with pytest.raises(BadArtefact, match=message):
        load_weights(path, expected, sha256=sha256_of(path))


def loaded(path: Path, expected: dict[str, TensorSpec]) -> dict[str, torch.Tensor]:
    check_weights(path, expected)
    return load_weights(path, expected, sha256=sha256_of(path))


def test_weights_saved_are_loaded_equal(weights: Path) -> None:
    tensors = loaded(weights, SPECS)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_specs_of_tensors_and_of_header_agree(weights: Path) -> None:
    assert describe_tensors(TENSORS) == SPECS
    assert read_specs(weights) == SPECS


def test_non_contiguous_tensor_is_saved_as_it_reads(tmp_path: Path) -> None:
    turned = torch.arange(6.0).reshape(2, 3).T
    save_weights(tmp_path / "w", {"w": turned})
    assert torch.equal(loaded(tmp_path / "w", {"w": TensorSpec(shape=(3, 2), dtype="F32")})["w"], turned)


def test_integer_tensor_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'steps' is torch.int64"):
        save_weights(tmp_path / "w", {"steps": torch.tensor([1])})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        pytest.param({"conv.weight": SPECS["conv.weight"]}, "unexpected tensor 'conv.bias'", id="unexpected name"),
        pytest.param({**SPECS, "more": SPECS["conv.bias"]}, "lacks tensor 'more'", id="missing name"),
        pytest.param(
            {**SPECS, "conv.weight": TensorSpec(shape=(3, 2), dtype="F32")}, r"F32 \[2, 3\], not F32 \[3, 2\]", id="shape"
        ),
        pytest.param({**SPECS, "conv.bias": TensorSpec(shape=(2,), dtype="F16")}, r"BF16 \[2\], not F16 \[2\]", id="dtype"),
    ],
)
def test_other_tensors_than_expected_are_refused(weights: Path, expected: dict[str, TensorSpec], message: str) -> None:
    check_refused(weights, expected, message)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_value_that_is_not_finite_is_refused(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    tensors = {"w": torch.tensor([0.0, bad], dtype=dtype)}
    save_weights(tmp_path / "w", tensors)
    check_refused(tmp_path / "w", describe_tensors(tensors), r"'w' of .* NaN or infinite")


def test_dimension_of_size_zero_is_refused(tmp_path: Path) -> None:
    tensors = {"w": torch.zeros(3, 0), "v": torch.zeros(1)}
    save_weights(tmp_path / "w", tensors)
    check_refused(tmp_path / "w", describe_tensors(tensors), r"'w' .* dimension of size zero \[3, 0\]")


@pytest.mark.parametrize("change", [-1, 1], ids=["truncated", "with a tail"])
def test_other_length_is_refused(weights: Path, change: int) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[:change] if change < 0 else content + b"\0")
    check_refused(weights, SPECS, rf"has {len(content) + change} bytes where its tensors need {len(content)}")


def test_flipped_bit_is_refused_when_digest_is_known(weights: Path) -> None:
    signed = sha256_of(weights)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadArtefact, match=f"does not have the SHA-256 {signed[:16]}"):
        load_weights(weights, SPECS, sha256=signed)


def test_large_finite_values_are_no_reason_to_refuse(tmp_path: Path) -> None:
    tensors = {"w": torch.full((8,), 3e38), "v": torch.full((8,), 3e38, dtype=torch.bfloat16)}  # their sum is infinite
    save_weights(tmp_path / "w", tensors)
    assert torch.equal(loaded(tmp_path / "w", describe_tensors(tensors))["w"], tensors["w"])


def test_checking_takes_no_memory_for_the_tensors(tmp_path: Path) -> None:
    tensors = {name: torch.zeros(12 << 20) for name in ("v", "w")}  # 48 MiB each
    tensors["w"][-1] = float("nan")  # the last of all values is looked at too
    save_weights(tmp_path / "w", tensors)
    tracemalloc.start()
    with pytest.raises(BadArtefact, match="'w' of"):
        check_weights(tmp_path / "w", describe_tensors(tensors))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * CHUNK_BYTES


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 2**64 - 1])
def test_oversize_header_is_refused_unread(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    check_refused(path, SPECS, rf"claims {length} bytes")


def test_header_as_long_as_the_cap_is_read(tmp_path: Path) -> None:
    entry = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "w"
    path.write_bytes(raw(entry.ljust(MAX_HEADER_BYTES), b"\0" * 4))
    assert loaded(path, {"w": TensorSpec(shape=(1,), dtype="F32")})["w"].tolist() == [0.0]


ENTRY = b'"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"\1\0\0", id="half a length"),
        pytest.param(raw(b""), id="no header"),
        pytest.param(raw(b"{" + ENTRY + b"}")[:30], id="half a header"),
        pytest.param(raw(b"\x80\x04pickle"), id="not JSON"),
        pytest.param(raw(b"[1, 2]"), id="not an object"),
        pytest.param(raw(b'{"w": 3}'), id="entry is not an object"),
        pytest.param(raw(b'{"w": {}}'), id="entry without dtype"),
        pytest.param(raw(b"{" + ENTRY + b"," + ENTRY + b"}", b"\0" * 4), id="name twice"),
        pytest.param(raw(b"{" + ENTRY.replace(b"F32", b"I64") + b"}", b"\0" * 8), id="integer dtype"),
        pytest.param(raw(b"{" + ENTRY.replace(b"[1]", b"[-1]") + b"}", b"\0" * 4), id="negative dimension"),
        pytest.param(raw(b"{" + ENTRY.replace(b"[0,4]", b"[4,8]") + b"}", b"\0" * 4), id="offsets outside"),
        pytest.param(raw(b"[" * 100_000), id="deeply nested"),
    ],
)
def test_malformed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    check_refused(path, {"w": TensorSpec(shape=(1,), dtype="F32")}, "do not use")


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    header = b"{" + ENTRY + b"," + ENTRY.replace(b'"w"', b'"v"') + b"}"
    path.write_bytes(raw(header, b"\0" * 8))
    spec = TensorSpec(shape=(1,), dtype="F32")
    check_refused(path, {"v": spec, "w": spec}, "does not begin where the one before it ends")
