"""How the service's threads share the C library's memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # mallopt(3)
ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas; to be called before there are threads.

    glibc gives threads arenas of their own, eight for each core, and what one of them gives back cannot be used by another:
    with forty threads that answer requests in turn, resident memory grew for as long as anybody looked (docs/performance.md).
    Python allocates small objects by itself, so that threads seldom wait for each other here. `MALLOC_ARENA_MAX`, when
    set, is overruled; other C libraries than glibc have no arenas and are left alone.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
