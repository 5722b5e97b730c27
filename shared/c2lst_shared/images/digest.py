"""What an image is told by: the digest of all the bytes that its pixels come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from c2lst_shared.errors import BadInput
from c2lst_shared.images.whole_slide import companions


def image_digest(path: Path) -> str:
    """Return the SHA-256 of an image, in hexadecimal digits.

    Of one file it is the file's own. Of a folder, or of a file that is only the index of a slide, it covers the names and
    contents of all files that belong to it.

    Raises:
        BadInput: there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise BadInput(f"There is no image {path}.")
    others = companions(path) if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    try:
        if not others:
            return _digest(path)
        files = [path, *others] if path.is_file() else others
        listing = "".join(f"{_digest(file)}  {file.relative_to(path.parent).as_posix()}\n" for file in files)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); check who may read it.") from None
    return hashlib.sha256(listing.encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
