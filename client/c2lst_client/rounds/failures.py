"""How long work that failed for a passing reason waits until it is tried again."""

from __future__ import annotations

from c2lst_shared.wire import ErrorCode

RETRY_SECONDS = 30.0  # until the network or the disk is tried again
BUSY_SECONDS = 5.0  # until a folder that another process holds is


def wait_after(code: ErrorCode) -> float:
    """Return the seconds after which work that failed so is tried again."""
    return BUSY_SECONDS if code == "busy" else RETRY_SECONDS
