"""How a release's files are named in the signed TUF repository, and by what names they are served.

Each organ has its own delegated role, called like the organ, which signs `ORGAN/NUMBER/FILE` and nothing else. Files are
served under their digest (`mob/1/<sha256>.weights.safetensors`, TUF's consistent snapshots), so they never change.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from c2lst_shared.errors import BadInput
from c2lst_shared.release.manifest import MANIFEST, NAME_PATTERN, SAMPLES, WEIGHTS

FILES = (MANIFEST, WEIGHTS, SAMPLES)
HASHES = ["sha256"]  # the digests that signed entries carry
SERVED_METADATA = "/tuf/metadata/"  # where the server offers the signed metadata, and a bundle too
SERVED_TARGETS = "/tuf/targets/"
TOP_LEVEL_ROLES = frozenset({"root", "targets", "snapshot", "timestamp"})  # an organ cannot be called like one of these

_TARGET = re.compile(rf"({NAME_PATTERN})/([1-9][0-9]{{0,8}})/([a-z_.]+)")


def organ_pattern(organ: str) -> str:
    """Return the TUF path pattern of all targets that the role of `organ` may sign."""
    return f"{organ}/*/*"


def target_path(organ: str, number: int, file: str) -> str:
    """Return the target path of one file of a release, for example `mob/1/manifest.json`."""
    return f"{organ}/{number}/{file}"


def served_path(path: str, sha256: str) -> str:
    """Return the path under which the target `path` with that digest is stored and served."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{sha256}.{name}"


def complete_numbers(paths: Collection[str], organ: str) -> list[int]:
    """Return, in rising order, the numbers of the releases of `organ` of which `paths` has every file."""
    holders = [set(numbers_with(paths, organ, file)) for file in FILES]
    return sorted(set.intersection(*holders))


def numbers_with(paths: Collection[str], organ: str, file: str) -> list[int]:
    """Return, in rising order, the numbers of the releases of `organ` of which `paths` has the file called `file`."""
    found = (_TARGET.fullmatch(path) for path in paths)
    return sorted(int(match[2]) for match in found if match and match[1] == organ and match[3] == file)


def check_organ(organ: str) -> str:
    """Return `organ` when it can name an organ.

    Raises:
        BadInput: it has other characters than the manifest allows, or is the name of a TUF role.
    """
    if not re.fullmatch(NAME_PATTERN, organ) or organ in TOP_LEVEL_ROLES:
        raise BadInput(
            f"{organ!r} cannot name an organ; use at most 32 lower-case letters, digits and dashes, beginning with a letter, "
            f"and none of {', '.join(sorted(TOP_LEVEL_ROLES))}."
        )
    return organ


def split_release(name: str) -> tuple[str, int]:
    """Return organ and number of a release's name such as `mob/1`.

    Raises:
        BadInput: it is no such name.
    """
    organ, _, number = name.partition("/")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise BadInput(f"{name!r} does not name a release; write it like mob/1.")
    return check_organ(organ), int(number)
