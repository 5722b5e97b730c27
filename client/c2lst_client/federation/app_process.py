"""The process that answers for the site: it takes Flower's tasks, checks the run's FAB, and lets the gate answer.

It never installs or loads a FAB: a FAB that is not the pinned one is refused unread, and the pinned one names this
package, which is here already. `handle` is quick (it looks into policy and queue), so there is one process for all tasks. A
task that is not done within a minute, because this process hung or died, is given up by the SuperNode, and the centre asks
again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst_client.audit import AuditLog, Entry
from c2lst_client.federation.boundary import OTHER_FAB, Check, Handler, Silent, answer, refusal
from c2lst_client.home import Home
from c2lst_client.rounds.gate import FLEET
from c2lst_client.rounds.policy import load_policy
from c2lst_shared.flower.fab import fab_sha256
from c2lst_shared.flower.guard import allow_only
from c2lst_shared.flower.tasks import Tasks
from c2lst_shared.logs import LogFormat, write_logs

if TYPE_CHECKING:
    from flwr.supercore.runtime import RuntimeHttpClient

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
AWAY_SECONDS = 1.0  # between two tries while the SuperNode is not there
COMPLETED, FAILED = "completed", "failed"


@dataclass(frozen=True)
class Site:
    """What answers for a site."""

    pinned: Callable[[], str]  # gives the SHA-256 of the one FAB whose runs are answered
    handle: Handler
    check: Check
    note: Callable[[int], None]  # writes down an error's number before it leaves; answers are written down by `handle`


def serve(tasks: Tasks, site: Site, stop: Callable[[], bool]) -> None:
    """Answer the SuperNode's tasks until `stop()` is true."""
    import httpx

    while not stop():
        try:
            found = tasks.next()
            if found is None:
                time.sleep(POLL_SECONDS)
                continue
            task, token = found
            with tasks.open(token) as client:
                _do(client, task.fab_hash, site)
        except httpx.HTTPError as error:
            log.warning("The SuperNode does not answer (%s)", type(error).__name__)
            time.sleep(AWAY_SECONDS)
        except Exception:
            log.exception("A task could not be done")
            time.sleep(AWAY_SECONDS)


def _do(client: RuntimeHttpClient, claimed: str, site: Site) -> None:
    """Do one task. What goes wrong on the way is not told to anybody: the centre asks again."""
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest
    from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message

    message, context, run, fab = pull_task_input(client)
    found = hashlib.sha256(fab.content).hexdigest()
    if not claimed == run.fab_hash == found == site.pinned():
        log.error("Run %d came with FAB %s, not with the pinned one; it is refused", run.run_id, found)
        reply = refusal(message, OTHER_FAB)
    else:
        try:
            reply = answer(message, site.handle, site.check)
        except Silent:
            log.warning("Nothing is said to a request of run %d", run.run_id)
            return  # the task runs out, and the SuperNode says that nobody answered
    if reply.has_error():
        site.note(reply.error.code)
    push_message(client, reply, context)
    # neither state nor words: both would be kept by the SuperNode, which needs none
    client.PushTaskOutput(PushTaskOutputRequest(sub_status=FAILED if reply.has_error() else COMPLETED, details=""))


def pinned_fab(home: Home) -> str:
    """Return the digest that the site's policy pins; without one it is that of the FAB which this package would make.

    Raises:
        BadArtefact: the policy is damaged.
    """
    return load_policy(home).fab_sha256 or fab_sha256()


def note_error(home: Home, code: int) -> None:
    """Write down in the audit log that an error leaves, of which only the number is sent."""
    AuditLog(home.audit_log).append(
        Entry(kind="round", method="unknown", path=FLEET, bytes_out=0, bytes_in=0, message="Error", content={"code": code})
    )


def main() -> None:
    """Serve the SuperNode that the arguments name."""
    arguments = _arguments()
    write_logs(arguments.log_format, plain_errors=True)
    allow_only([arguments.runtime])
    handler = _named(arguments.handler)
    stopping = False

    def ask(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    tasks = Tasks(arguments.runtime, arguments.secret.read_bytes(), "flwr-clientapp")
    home = Home(arguments.home)
    site = Site(
        pinned=partial(pinned_fab, home),
        handle=partial(handler, home),
        check=_named(arguments.check),
        note=partial(note_error, home),
    )
    with tasks:
        serve(tasks, site, lambda: stopping)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--runtime", required=True, help="host:port of the SuperNode's runtime API")
    parser.add_argument("--secret", type=Path, required=True)
    parser.add_argument("--handler", required=True, help="module:function of (home, request) -> answer")
    parser.add_argument("--check", required=True, help="module:function that refuses what is no answer")
    parser.add_argument("--log-format", type=LogFormat, default=LogFormat.TEXT)
    return parser.parse_args()


def _named(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    main()
