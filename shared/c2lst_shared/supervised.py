"""One process that works under a supervisor, each for its side: neither outlives the other for long, whatever is killed.

The supervisor holds one end of a pipe and the process reads the other, its standard input. A supervisor that is killed closes
the pipe with that; the process then saves and ends. What it started itself ends with it: it leads a process group of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

LOOK_SECONDS = 0.1


def run_supervised(
    command: Sequence[str],
    *,
    beat: Callable[[], None],
    every: float,
    stop: Callable[[], bool],
    grace: float,
    ask: Callable[[subprocess.Popen[bytes]], None] = subprocess.Popen.terminate,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start `command`, see it end, and return its exit code, or minus the signal that ended it.

    Args:
        beat: called now and then while it runs: also while it still imports, and whatever it hangs in.
        every: seconds between two beats.
        stop: asked all the time; once it is true the process is asked to end.
        grace: seconds for it to save and end; then it is killed.
        ask: asks it to end.
    """
    # A session of its own: Ctrl-C reaches the supervisor alone, which passes it on once.
    with subprocess.Popen(list(command), stdin=subprocess.PIPE, start_new_session=True, env=environment) as process:
        asked: float | None = None
        beaten = time.monotonic()
        while process.poll() is None:
            now = time.monotonic()
            if now - beaten > every:
                beaten = now
                beat()
            if asked is None and stop():
                ask(process)
                asked = now
            if asked is not None and now - asked > grace:
                _kill_group(process.pid)
            time.sleep(LOOK_SECONDS)
        _kill_group(process.pid)  # what it left behind
    return process.returncode


def close_input(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end by the pipe alone, which reaches it through any launcher that stands between."""
    if process.stdin is not None:
        process.stdin.close()


def follow_supervisor(pipe: int, gone: Callable[[], None], *, grace: float) -> None:
    """In the process: call `gone` when the other end of `pipe` is closed, and end for good after `grace` seconds."""

    def follow() -> None:
        while os.read(pipe, 64):
            pass
        gone()
        time.sleep(grace)
        sys.stderr.write("The supervisor is gone or waits no longer, and the work did not stop in time; ending.\n")
        sys.stderr.flush()
        if os.getpgrp() == os.getpid():
            _kill_group(os.getpid())
        os._exit(1)

    threading.Thread(target=follow, daemon=True, name="supervisor").start()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: only zombies are left (macOS)
        os.killpg(leader, signal.SIGKILL)
