"""The error tree of c2lst; each branch has its own remedy and its own exit code.

::

    C2lstError             1  something failed that the messages below do not cover
    ├── BadInput           2  what the caller gave (file, table, option) cannot be used: change it and run again
    │   └── NoSpace        2  the disk is too small or full: make room and run again
    ├── BadArtefact        3  a release, adapter or stored file is not what was signed or written: do not use it
    ├── TransferFailed     4  the network or the other side failed: run again, nothing is lost
    ├── Busy               5  another c2lst process works on the same folder: wait for it, or stop it
    └── Interrupted      130  stopped by a signal after saving: the same command resumes

A message is one sentence that says what is wrong, with the offending value, and what to do next.
"""

from __future__ import annotations

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed; or a check (`doctor`, `--check`) found a fault; or you said no",
    2: "bad input: a file, option or setting cannot be used, or the disk is full; nothing was changed",
    3: "not trusted: a release, adapter or log is not what was signed or written",
    4: "the network or the other side failed; run the same again",
    5: "another c2lst process works on the same folder; wait for it",
    130: "stopped (Ctrl-C, SIGTERM) after saving; the same command goes on",
}


class C2lstError(Exception):
    """Root of every error that c2lst raises on purpose."""

    exit_code = 1


class BadInput(C2lstError):
    """A file, table or option given by the caller cannot be used."""

    exit_code = 2


class NoSpace(BadInput):
    """The disk takes no more; once there is room, the same command goes on."""


class BadArtefact(C2lstError):
    """A release, adapter or stored file fails verification."""

    exit_code = 3


class TransferFailed(C2lstError):
    """The network or the other side failed; nothing on this side changed."""

    exit_code = 4


class Busy(C2lstError):
    """Another process of c2lst works on the same folder; nothing was changed."""

    exit_code = 5


class Interrupted(C2lstError):
    """Work stopped on request after its state was saved; the same command resumes it."""

    exit_code = 130
