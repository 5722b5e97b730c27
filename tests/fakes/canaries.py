"""Looking for planted patterns in what left a site, also where they were encoded."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator

_BASE64 = re.compile(rb"[A-Za-z0-9+/_=-]{8,}")
_BEGINNING = 8
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){4,}")


def spellings(pattern: bytes) -> set[bytes]:
    """Ways in which a pattern may be written: as it is, backwards, in hex, and in base64 wherever it begins."""
    found = {pattern, pattern[::-1], pattern.hex().encode(), pattern.hex().upper().encode()}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + pattern)
        first = -(-before * 4 // 3) + (1 if before else 0)  # characters that what comes before has a part in
        middle = whole[first:].rstrip(b"=")[:-1]
        found |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return {each for each in found if len(each) >= 5}


def views(content: bytes) -> Iterator[bytes]:
    """The content, and what its parts are when base64, hex or compression is taken off."""
    yield content
    for token in _BASE64.findall(content):
        padded = token.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(token) % 4)
        try:
            yield from _unpacked(base64.b64decode(padded, validate=True))
        except binascii.Error:
            continue
    for token in _HEX.findall(content):
        yield from _unpacked(bytes.fromhex(token.decode()))
    for start in [match.start() for match in re.finditer(rb"\x1f\x8b|\x78[\x01\x9c\xda]", content)]:
        yield from _unpacked(content[start:])


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The content, and what it begins with if that is compressed: whatever follows, and though it be cut off."""
    yield content
    try:
        yield zlib.decompressobj(wbits=47).decompress(content)  # 47 = gzip or zlib
    except zlib.error:
        return


def found_in(content: bytes, patterns: Iterable[bytes]) -> list[bytes]:
    """Return the patterns that occur in some spelling."""
    seen = b"\n".join(views(content))
    begun = {
        seen[start : start + _BEGINNING] for start in range(len(seen))
    }  # thousands of patterns are looked up, not searched
    return [
        pattern
        for pattern in patterns
        if any((len(each) < _BEGINNING or each[:_BEGINNING] in begun) and each in seen for each in spellings(pattern))
    ]
