"""Starts a module as a process that ends when its parent ends, however that happens.

`python -m c2lst_shared.flower.child PARENT MODULE ARGUMENT...` is how the supervisor starts everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LOOK_SECONDS = 1.0


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that starts `module` as a child of this process."""
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def die_with(parent: int) -> None:
    """End this process when the process `parent`, which started it, is gone.

    On Linux the kernel does it; elsewhere, and where the kernel would not, a thread looks every second.
    """
    with contextlib.suppress(OSError, AttributeError):  # no prctl on other systems
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    threading.Thread(target=look, name="parent", daemon=True).start()


def main() -> None:
    """Run the module that the arguments name."""
    parent, module, *arguments = sys.argv[1:]
    die_with(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
