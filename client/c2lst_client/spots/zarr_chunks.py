"""Chunks of Zarr that announce more than they hold are refused before room is made for it.

numcodecs believes the header of a chunk: a count of strings of which one bit is wrong makes it fill tens of gigabytes, and
a Blosc chunk that was cut short has it read the memory behind it. Neither raises anything that could be caught.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

MAX_CHUNK_BYTES = 256 << 20  # a chunk is unpacked whole; a usual one has some megabytes
BLOSC_HEADER = struct.Struct("<4xI4xI")  # bytes unpacked, bytes packed with this header
COUNT = struct.Struct("<I")  # of strings; each begins with its length, of as many bytes


@contextmanager
def checked_chunks() -> Iterator[None]:
    """Have numcodecs raise ValueError for such chunks while this is open."""
    from numcodecs.blosc import Blosc
    from numcodecs.vlen import VLenBytes, VLenUTF8

    with ExitStack() as stack:
        for codec, check in ((Blosc, _check_blosc), (VLenBytes, _check_strings), (VLenUTF8, _check_strings)):
            stack.enter_context(_first(codec, check))
        yield


@contextmanager
def _first(codec: Any, check: Callable[[memoryview], None]) -> Iterator[None]:
    """Have `check` look at what `codec` decodes."""
    decode = codec.decode

    def checked(self: Any, buf: Any, out: Any = None) -> Any:
        check(memoryview(buf).cast("B"))
        return decode(self, buf, out)

    codec.decode = checked
    try:
        yield
    finally:
        codec.decode = decode


def _check_blosc(content: memoryview) -> None:
    if len(content) < BLOSC_HEADER.size:
        raise ValueError("a chunk is cut short")
    unpacked, packed = BLOSC_HEADER.unpack_from(content)
    if packed > len(content):
        raise ValueError("a chunk is cut short")
    if unpacked > MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk claims {unpacked:,} bytes")


def _check_strings(content: memoryview) -> None:
    if len(content) < COUNT.size or COUNT.unpack_from(content)[0] > len(content) // COUNT.size - 1:
        raise ValueError("a chunk announces more strings than it holds")
