"""What a library raises on a damaged file, turned into the one sentence that the user needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c2lst_shared.errors import BadInput, C2lstError


@contextmanager
def refused(path: Path, kind: str, remedy: str) -> Iterator[None]:
    """Turn whatever is raised inside, our own errors apart, into a refusal of `path`.

    Args:
        path: the file that is being read.
        kind: what it should be, such as "a Parquet table".
        remedy: what to do, such as "copy it again".

    Raises:
        BadInput: naming the file, what it should be, the library's first line, and what to do.
    """
    try:
        yield
    except C2lstError:
        raise
    except Exception as error:  # a damaged file makes foreign parsers raise anything at all
        reason = str(error).splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"{path} cannot be read as {kind} ({reason}); {remedy}.") from None
