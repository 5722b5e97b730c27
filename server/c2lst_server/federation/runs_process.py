"""Takes the runs that wait at SuperLink and gives each a process, after a look at its FAB."""

from __future__ import annotations

import argparse
import logging
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from c2lst_server.federation.link import Link
from c2lst_shared.flower import child
from c2lst_shared.flower.fab import fab_sha256
from c2lst_shared.flower.tasks import Tasks
from c2lst_shared.logs import LogFormat, write_logs
from c2lst_shared.stopping import stop_on_signal

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FAILED = "failed"
GRACE = 8.0  # seconds for the runs to end by themselves


def serve_runs(tasks: Tasks, start: Callable[[], subprocess.Popen[str]], stop: Callable[[], bool]) -> None:
    """Start a process for each run of our FAB until `stop()` is true, then end them."""
    import httpx

    running: dict[subprocess.Popen[str], str] = {}  # with their tokens
    while not stop():
        for process, token in list(running.items()):
            if process.poll() is not None:
                del running[process]
                if process.returncode != 0:
                    _give_up(tasks, token)
        try:
            found = tasks.next()
        except httpx.HTTPError as error:
            log.warning("SuperLink does not answer (%s)", type(error).__name__)
            found = None
        if found is None:
            time.sleep(POLL_SECONDS)
            continue
        task, token = found
        if task.fab_hash != fab_sha256():
            log.error("Run %d has the foreign FAB %s; it is left to run out", task.run_id, task.fab_hash)
            continue
        log.info("Run %d begins", task.run_id)
        process = start()
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:
                process.stdin.write(f"{token}\n")
        running[process] = token
    _end(list(running))


def _give_up(tasks: Tasks, token: str) -> None:
    """Say that a run is over whose process died, so that its round gets another one at once."""
    import httpx
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest

    log.error("The process of a run died; the run is given up")
    with suppress(httpx.HTTPError), tasks.open(token) as client:
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=FAILED, details=""))


def _end(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        process.terminate()
    until = time.monotonic() + GRACE
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    """Serve the SuperLink that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="of SuperLink")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--log-format", type=LogFormat, default=LogFormat.TEXT)
    arguments = parser.parse_args()
    write_logs(arguments.log_format)
    link = Link(arguments.folder, arguments.port)
    tasks = Tasks(link.address, link.tasks_secret.read_bytes(), "flwr-serverapp", ca_pem=link.certificate.read_bytes())
    options = ("--home", str(arguments.home), "--port", str(link.port), "--driver", arguments.driver)
    style = ("--log-format", arguments.log_format)

    def start() -> subprocess.Popen[str]:
        command = child.command("c2lst_server.federation.run_process", *options, *style)
        return subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    with tasks, stop_on_signal() as stop:
        serve_runs(tasks, start, stop)


if __name__ == "__main__":
    main()
