"""Runs c2lst's own commands as a user would: shown first, their output let through, stopped and ended cleanly."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape

from c2lst_shared.errors import BadInput, C2lstError, Interrupted, TransferFailed

HOST = "127.0.0.1"
STARTUP_SECONDS = 90.0  # a slow machine needs a while to import everything
SHUTDOWN_SECONDS = 15.0
# A demo that is killed takes its commands with it (Linux): the next one needs the server's port and the runs' locks. Not by
# `preexec_fn`, in whose fork hooks Python drops a Ctrl-C that comes at that moment.
END_WITH_PARENT = ["setpriv", "--pdeathsig", "TERM", "--"]
Answer = TypeVar("Answer")


class StepFailed(C2lstError):
    """A command ended with an error, which it has printed itself; its exit code becomes the story's."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(f"`{command}` ended with exit code {exit_code}; mend what it says above and run the demo again.")
        self.exit_code = exit_code


class Commands:
    """The commands of one demo, with the environment that tells them where their homes are."""

    def __init__(self, console: Console, settings: dict[str, str]) -> None:
        self._console = console
        self._environment = os.environ | settings

    def run(self, *words: str) -> None:
        """Show and run one command; bars and messages go to the terminal.

        Raises:
            StepFailed: it ended with an error.
            Interrupted: it was stopped and has saved its work.
        """
        shown = shlex.join(words)
        self._console.print(f"\n[bold]$ {escape(shown)}[/bold]", highlight=False, soft_wrap=True)
        code = _wait(self._start(words))
        if code == Interrupted.exit_code:
            raise Interrupted("Stopped.")
        if code != 0:
            raise StepFailed(shown, code)

    def ask(self, answer: type[Answer], *words: str) -> Answer:
        """Run a command that prints JSON, unseen, and return what it says.

        Raises:
            BadInput: the command cannot use what it was given; the message is its own.
            StepFailed: it failed otherwise.
        """
        done = subprocess.run(
            _resolved(words), env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode == BadInput.exit_code:
            raise BadInput(done.stderr.strip().removeprefix("Error: "))
        if done.returncode != 0:
            self._console.print(done.stderr.strip(), markup=False, highlight=False)
            raise StepFailed(shlex.join(words), done.returncode)
        return TypeAdapter(answer).validate_python(json.loads(done.stdout))

    @contextmanager
    def serving(self, port: int, log: Path) -> Iterator[None]:
        """Run the central service on `port` for as long as the body takes; its output goes to `log`.

        Raises:
            TransferFailed: it does not come up.
        """
        words = ("c2lst-server", "serve", "--port", str(port))
        self._console.print(
            f"\n[bold]$ {shlex.join(words)} &[/bold]   [dim](its log: {log})[/dim]", highlight=False, soft_wrap=True
        )
        with log.open("ab") as output:
            server = self._start(words, output)
        try:
            _wait_until_healthy(server, port, log)
            yield
        finally:
            _end(server)

    def _start(self, words: tuple[str, ...], output: BinaryIO | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*(END_WITH_PARENT if shutil.which(END_WITH_PARENT[0]) else []), *_resolved(words)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output and subprocess.STDOUT,
            process_group=0,
        )


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(port: int) -> None:
    """Check that nothing listens on the port that an earlier run told the site.

    Raises:
        BadInput: something does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that are closing do not matter
        try:
            probe.bind((HOST, port))
        except OSError:
            raise BadInput(
                f"Port {port}, which this demo's site knows its server by, is in use; end the program that uses it."
            ) from None


def _resolved(words: tuple[str, ...]) -> list[str]:
    """Take the command from beside this Python: a virtual environment need not be active."""
    beside = Path(sys.executable).with_name(words[0])
    return [str(beside) if beside.exists() else words[0], *words[1:]]


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a command. It has its own process group, so Ctrl-C reaches it once, from here, and it saves its work."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.kill()
            process.wait()
        raise


def _wait_until_healthy(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise TransferFailed(f"The server ended with exit code {server.returncode}; {log} says why.")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TransferFailed(f"The server did not answer within {STARTUP_SECONDS:.0f} s; {log} may say why.")


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
