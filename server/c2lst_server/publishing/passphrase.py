"""The passphrase of the encrypted keys comes from a file, the environment or a prompt, never from an argument."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from c2lst_shared.errors import BadInput

MIN_PASSPHRASE = 12  # characters


def check_passphrase(passphrase: str) -> None:
    """Check that a new passphrase is long enough.

    Raises:
        BadInput: it is not.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise BadInput(f"The passphrase has {len(passphrase)} characters; choose at least {MIN_PASSPHRASE}.")


def read_passphrase_file(path: Path) -> str:
    """Return the first line of a passphrase file.

    Raises:
        BadInput: the file cannot be read or is empty.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The passphrase file {path} cannot be read: {error}; pass the right --passphrase-file.") from error
    if not lines or not lines[0]:
        raise BadInput(f"The passphrase file {path} is empty; put the passphrase on its first line.")
    return lines[0]


def make_passphrase_file(path: Path) -> None:
    """Write a random passphrase to `path`, readable by the owner only, unless the file is already there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
