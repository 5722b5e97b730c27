"""Threads share two arenas, as the C library itself tells."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from c2lst_server.allocator import share_arenas
if sys.argv[1] == "share":
    share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(9)

def allocate():
    libc.malloc(ctypes.c_size_t(100_000))
    together.wait()  # all of them live at once
    together.wait()

for _ in range(8):
    threading.Thread(target=allocate).start()
together.wait()
libc.malloc_stats()
together.wait()
"""


def arenas(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return done.stderr.count("Arena ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_eight_threads_share_two_arenas() -> None:
    assert arenas("share") == 2
    assert arenas("as it is") > 2
