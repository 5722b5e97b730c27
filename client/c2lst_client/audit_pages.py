"""The audit log for whoever leafs through it: some lines at a time from its end, as they stand in the file, byte for byte.

However long the log is, a page reads no more than a bounded part of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from c2lst_client.audit import Entry
from c2lst_shared.errors import BadInput

PART_BYTES = 2 << 20  # read for one page; a line is much shorter (`wire` bounds what may be sent)


@dataclass(frozen=True)
class Line:
    """One line of the log."""

    offset: int  # of its first byte in the file
    raw: bytes  # without the line's end
    entry: Entry | None  # None = it cannot be read as one

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.offset + len(self.raw) + 1


@dataclass(frozen=True)
class Page:
    """Some lines, the newest first."""

    lines: list[Line]
    older: int | None  # the offset before which older ones are looked for; None = there are none


def read_page(path: Path, *, before: int | None = None, count: int = 25, wanted: Callable[[Entry], bool] | None = None) -> Page:
    """Return up to `count` lines that end before the offset `before`, or the newest.

    Args:
        path: of the log; one that is not there has no lines.
        before: an offset that an earlier page gave.
        count: of lines.
        wanted: which entries are returned; lines that cannot be read always are.
    """
    if not path.exists():
        return Page([], None)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        end = size if before is None else max(0, min(before, size))
        start = max(0, end - PART_BYTES)
        file.seek(start)
        part = file.read(end - start)
    lines: list[Line] = []
    oldest = start
    for line in _backwards(part, start):
        oldest = line.offset
        if line.entry is None or wanted is None or wanted(line.entry):
            lines.append(line)
            if len(lines) == count:
                break
    return Page(lines, oldest if oldest > 0 else None)


def read_line(path: Path, offset: int) -> Line:
    """Return the line that begins at `offset`.

    Raises:
        BadInput: none does.
    """
    try:
        with path.open("rb") as file:
            if offset > 0:
                file.seek(offset - 1)
                if file.read(1) != b"\n":
                    raise BadInput(f"No line of the record begins at byte {offset}.")
            raw = file.readline(PART_BYTES)
    except FileNotFoundError:
        raw = b""
    if not raw.endswith(b"\n"):
        raise BadInput(f"No line of the record begins at byte {offset}.")
    return _line(offset, raw[:-1])


def whole_lines(path: Path) -> tuple[int, Iterator[bytes]]:
    """Return how many bytes the log has up to the end of its last line, and these bytes in parts."""
    if not path.exists():
        return 0, iter(())
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - PART_BYTES))
        tail = file.read(size - file.tell())
    length = size - (len(tail) - tail.rfind(b"\n") - 1) if b"\n" in tail else 0
    return length, _parts(path, length)


def _parts(path: Path, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while length > 0 and (part := file.read(min(length, 1 << 16))):
            length -= len(part)
            yield part


def _backwards(part: bytes, start: int) -> Iterator[Line]:
    """Yield the whole lines of a part of the file that begins at byte `start`, the last one first."""
    end = part.rfind(b"\n")  # what comes after it is still being written
    while end >= 0:
        begin = part.rfind(b"\n", 0, end) + 1
        if begin == 0 and start > 0:
            return  # the line began before this part
        yield _line(start + begin, part[begin:end])
        end = begin - 1


def _line(offset: int, raw: bytes) -> Line:
    try:
        return Line(offset, raw, Entry.model_validate_json(raw))
    except ValidationError:
        return Line(offset, raw, None)
