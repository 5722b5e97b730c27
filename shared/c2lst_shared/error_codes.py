"""Errors as codes of a closed list, by their class alone: what is shown of work that failed where its words may not go."""

from __future__ import annotations

from c2lst_shared.errors import BadArtefact, BadInput, Busy, NoSpace, TransferFailed
from c2lst_shared.wire import ErrorCode

PASSING: frozenset[ErrorCode] = frozenset({"network", "disk", "busy"})  # what time may mend: the work is tried again


def error_code(error: BaseException) -> ErrorCode:
    """Return the code of an error, by its class alone."""
    import sqlite3

    import torch

    kinds: list[tuple[ErrorCode, tuple[type[BaseException], ...]]] = [
        ("busy", (Busy,)),
        ("network", (TransferFailed,)),
        ("disk", (NoSpace,)),
        ("bad_artefact", (BadArtefact,)),
        ("bad_input", (BadInput,)),
        ("memory", (MemoryError, torch.OutOfMemoryError)),
        ("disk", (OSError, sqlite3.OperationalError)),
    ]
    for each in _with_causes(error):  # a library may wrap what the disk said
        for code, classes in kinds:
            if isinstance(each, classes):
                return code
    return "internal"


def _with_causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found
