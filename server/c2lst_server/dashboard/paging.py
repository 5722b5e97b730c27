"""Lists that are too long for one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import Query

PAGE = 25  # rows
Offset = Annotated[int, Query(ge=0, le=10**9)]


def paged(name: str, find: Callable[[int, int], Sequence[object]], offset: int) -> dict[str, Any]:
    """Return what a template shows of a list: the rows under `name`, and the addresses of the pages before and after.

    Args:
        name: that the template knows the rows by.
        find: gives at most so many rows (first argument) after so many others (second).
        offset: how many rows stand on the pages before.
    """
    found = find(PAGE + 1, offset)  # one more than is shown tells whether there is another page
    return {
        name: found[:PAGE],
        "before": f"?offset={max(0, offset - PAGE)}" if offset else "",
        "after": f"?offset={offset + PAGE}" if len(found) > PAGE else "",
    }
