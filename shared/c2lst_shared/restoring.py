"""A state folder takes the content of a backup: prepared inside it, then put in its place piece by piece.

The folder itself stays: it may be a volume that is mounted there. What was in it is not deleted but moved to a folder
`before-restore-...` in it: it may hold what no backup has, as the keys that sign releases.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from c2lst_shared import locking
from c2lst_shared.errors import BadInput

BEFORE, STAGING = "before-restore-", ".restore-"
OF_THE_DISK = {"lost+found"}


@dataclass
class Restoring:
    """A folder that is about to be restored."""

    folder: Path
    content: Path  # what is to be in the folder
    scratch: Path  # what is needed until then
    before: Path | None = None  # where what was in it is

    def put_in_place(self, *, last: str) -> None:
        """Move what was in the folder aside and what was prepared into it; `last` makes it count as complete."""
        old = _content(self.folder)
        if old:
            self.before = Path(tempfile.mkdtemp(dir=self.folder, prefix=f"{BEFORE}{datetime.now(UTC):%Y%m%dT%H%M%SZ}-"))
            for path in sorted(old, key=lambda path: path.name != last):  # what is half there counts as nothing at once
                path.rename(self.before / path.name)
        for path in sorted(self.content.iterdir(), key=lambda path: path.name == last):
            path.rename(self.folder / path.name)


@contextmanager
def restoring(folder: Path, *, overwrite: bool) -> Iterator[Restoring]:
    """Give a folder to prepare the new content in, while nobody else restores; it is gone at the end.

    Raises:
        BadInput: there is something in the folder, and it is not to be overwritten.
        Busy: another restore is going on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locking.locked(folder / ".restore.lock", f"Another restore is going on in {folder}; wait until it is done.", wait=0):
        if _content(folder) and not overwrite:
            raise BadInput(
                f"{folder} is not empty; choose another --home, or pass --overwrite: what is there is then moved to a folder "
                f"{BEFORE}... in it."
            )
        for rest in folder.glob(f"{STAGING}*/"):  # of a restore that was killed
            shutil.rmtree(rest)
        with tempfile.TemporaryDirectory(dir=folder, prefix=STAGING) as staging:
            made = Restoring(folder, Path(staging, "content"), Path(staging, "scratch"))
            made.content.mkdir()
            made.scratch.mkdir(mode=0o700)
            yield made


def _content(folder: Path) -> list[Path]:
    """Return what counts: neither locks and temporary files, nor what an earlier restore moved aside."""
    return [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", BEFORE)) and path.name not in OF_THE_DISK and path.suffix != ".lock"
    ]
