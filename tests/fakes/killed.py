"""Processes that end by kill -9 in front of their n-th change of the service's folder, whatever it is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from c2lst_server.publishing.key_holders import add_key, make_apart
from c2lst_server.publishing.publish import publish
from c2lst_server.publishing.refresh import refresh_timestamp, renew_targets
from c2lst_server.publishing.rotation import key_states, rotate
from c2lst_server.publishing.withdraw import withdraw
from fakes.central import PASSPHRASE, Central

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def publish_second(central: Central) -> None:
    with central.session() as session:
        publish(central.home, session, central.keyring, "second", organ="mob", summary="Made for a test.")


def withdraw_first(central: Central) -> None:
    withdraw(central.home, central.keyring, "mob", 1, "stained with the wrong dye")


def renew(central: Central) -> None:
    renew_targets(central.home, central.keyring)


def refresh(central: Central) -> None:
    refresh_timestamp(central.home, datetime.now(UTC) + timedelta(days=2))


def rotate_timestamp(central: Central) -> None:
    rotate(central.home, "timestamp", lambda: PASSPHRASE)


def add_targets_key(central: Central) -> None:
    """One more key, made elsewhere; what was begun is done again only where it did not become visible."""
    key = central.home.path.parent / f"{central.home.path.name}.key"
    public = key.with_name(key.name + ".pub")
    if not public.exists():
        key.unlink(missing_ok=True)
        make_apart(key, lambda: PASSPHRASE)
    if not any(state.name == "elsewhere" for state in key_states(central.home, lambda: PASSPHRASE)):
        add_key(central.home, "targets", public, lambda: PASSPHRASE)


def run(act: Callable[[Central], None], home: Path, changes: int | None = None) -> int | None:
    """Do `act` in a process of its own that is killed in front of its change number `changes`; return its exit code."""
    process = _context().Process(target=_act, args=(act, home, changes))
    process.start()
    process.join(60)
    return process.exitcode


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # a fork server does not get ours (cpython issue 117378)
    context.set_forkserver_preload([__name__])  # imported once, not once per process
    return context


def _act(act: Callable[[Central], None], home: Path, changes: int | None) -> None:
    central = Central(home)
    if changes is not None:
        _end_before(changes, str(home))
    act(central)
    central.engine.dispose()


def _end_before(changes: int, home: str) -> None:
    left = changes

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if (event in CHANGES or (event == "open" and _writes(arguments))) and _is_below(arguments[0], home):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(hook)


def _is_below(path: object, home: str) -> bool:
    """Say whether a path is in the folder; one that is not absolute may be (a folder is being removed)."""
    return isinstance(path, str) and (path.startswith(home) or not path.startswith("/"))


def _writes(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    return bool(isinstance(flags, int) and flags & WRITING) or bool(isinstance(mode, str) and set(mode) & set("wax+"))
