"""`c2lst-client console` in a process of its own; it may be stopped and started again at the same port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from c2lst_client.console.access_token import read_token
from c2lst_client.home import Home
from fakes.federation import ROOT, free_port, wait_for


@dataclass
class ConsoleProcess:
    """A state folder whose console is served."""

    home: Home
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return read_token(self.home)

    def start(self, *options: str) -> None:
        path = os.pathsep.join(str(ROOT / part) for part in ("shared", "client", "tests"))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        program = "import sys; from c2lst_client.cli import main; sys.argv[0] = 'c2lst-client'; main()"
        words = ["console", "--home", str(self.home.path), "--port", str(self.port), *options]
        with self.log.open("ab") as lines:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, *words], stdout=lines, stderr=lines, env=environment
            )
        wait_for(self._answers, 120, "the console answers")

    def stop(self) -> int:
        """Ask it to end, as a service manager does; return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> ConsoleProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
