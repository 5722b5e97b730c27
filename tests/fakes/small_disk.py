"""A disk of its own in memory, with little room beyond what preparing spots wants to be left free; mounting it needs root."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: int = 264) -> Iterator[bool]:
    """Mount it at `folder`, which is made, and say whether that could be done."""
    folder.mkdir()
    mount = shutil.which("mount")
    options = f"size={megabytes}m"
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave not a byte; return the file that takes all the room."""
    path = folder / "full"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return path
