"""A whole federation on this machine, in real processes: nginx, the service, SuperLink with its rounds, and sites."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from fakes.central import PASSPHRASE
from fakes.federation_parts import is_done, read_answers, write_plan
from fakes.tls import new_authority, server_files

ROOT = Path(__file__).parents[2]


def find_nginx() -> str | None:
    return shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)


def needs_nginx() -> str:
    found = find_nginx()
    if found is None:
        pytest.fail("nginx is not installed, and these tests are about it: `apt-get install nginx-light`")
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float, why: str) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{why}: not within {seconds:.0f} s")


def listening(process: psutil.Process) -> list[int]:
    """The ports that a process listens at."""
    found = process.net_connections("inet")
    return [connection.laddr.port for connection in found if connection.status == psutil.CONN_LISTEN]


def watched(trace: Path) -> list[str]:
    """What to put before a command so that its connections, and those of all that it starts, are written to `trace`."""
    if shutil.which("strace") is None:
        pytest.fail("strace is not installed, and this test is about what it sees: `apt-get install strace`")
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-o", str(trace)]


def places_in(trace: Path) -> set[tuple[str, int]]:
    """The addresses and ports that were connected or sent to."""
    place = r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([0-9a-f.:]+)"'
    return {(address, int(port)) for port, address in re.findall(place, trace.read_text())}


@dataclass
class Federation:
    folder: Path
    public_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    link_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def centre(self) -> Path:
        return self.folder / "centre"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.public_port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def site(self, name: str) -> Path:
        return self.folder / name

    # ---- setting up

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # nginx gives up root
        authority = new_authority()
        self.ca.write_text(authority.pem)
        (self.folder / "nginx").mkdir()
        certificate, key = server_files(authority, self.folder / "nginx")
        self.server("init")
        self.server(
            *("proxy-config", "--whole", "--out", str(self.folder / "nginx" / "nginx.conf"), "--server-name", "127.0.0.1"),
            *("--tls-cert", str(certificate), "--tls-key", str(key), "--port", str(self.public_port)),
            *("--api", f"127.0.0.1:{self.api_port}", "--superlink-port", str(self.link_port)),
        )

    def enrol(self, name: str, *, url: str | None = None) -> None:
        """Enrol a site at nginx, or at a `url` in front of it."""
        file = self.folder / f"{name}.json"
        self.server("sites", "add", name, "--url", url or self.url, "--ca", str(self.ca), "--out", str(file))
        self.client(name, "enroll", str(file))

    def server(self, *arguments: str) -> str:
        return self._do(self._centre_environment(), "from c2lst_server.cli import main; main()", *arguments)

    def client(self, site: str, *arguments: str, seconds: float = 180) -> str:
        environment = self._site_environment(site)
        return self._do(environment, "from c2lst_client.cli import main; main()", *arguments, seconds=seconds)

    # ---- processes

    def start_nginx(self) -> None:
        self._start("nginx", [needs_nginx(), "-g", "daemon off;", "-c", str(self.folder / "nginx" / "nginx.conf")])
        self._wait_for_port(self.public_port)

    def start_api(self) -> None:
        self._start("api", [sys.executable, "-m", "c2lst_server", "serve", "--port", str(self.api_port)])
        self._wait_for_port(self.api_port)

    def start_centre(self, *, bare: bool = False) -> None:
        mode = "bare" if bare else "centre"
        self._start("centre", [sys.executable, "-m", "fakes.federation_processes", mode, str(self.link_port)])
        self._wait_for_port(self.link_port)

    def start_site(self, name: str, *, mode: str = "site", before: Sequence[str] = (), **environment: str) -> None:
        command = [*before, sys.executable, "-m", "fakes.federation_processes", mode]
        self._start(name, command, self._site_environment(name) | environment)

    def start_command(self, name: str, program: str, *arguments: str, before: Sequence[str] = ()) -> None:
        """Start `c2lst-server` or `c2lst-client` under a name; a site's is its own."""
        environment = self._centre_environment() if program == "c2lst_server" else self._site_environment(name)
        code = f"from {program}.cli import main; main()"
        self._start(name, [*before, sys.executable, "-c", code, *arguments], environment)

    def child(self, supervisor: str, name: str) -> int:
        """The process that a supervisor said last to have started under this name."""
        lines = [json.loads(line) for line in self.log(supervisor).read_text().splitlines() if line.startswith("{")]
        started = [line["pid"] for line in lines if line["name"] == name and line["state"] == "running"]
        return int(started[-1])

    def children(self, supervisor: str) -> list[psutil.Process]:
        return psutil.Process(self.processes[supervisor].pid).children(recursive=True)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        traced = process.args[0] == "strace"  # type: ignore[index]  # which itself lets no signal through
        target = psutil.Process(process.pid).children()[0] if traced else process
        target.send_signal(signal.SIGQUIT if name == "nginx" else signal.SIGTERM)
        try:
            return process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def stop_all(self) -> None:
        for name in reversed(list(self.processes)):
            if self.processes[name].poll() is None:
                self.stop(name)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    # ---- exchanges

    def ask(self, steps: list[dict[str, Any]], seconds: float, *, timeout: float = 10) -> dict[str, str]:
        """Let the round of the tests ask; return the answers when it is done."""
        self.begin(steps, timeout=timeout)
        return self.end(seconds)

    def begin(self, steps: list[dict[str, Any]], *, timeout: float = 10) -> None:
        write_plan(self.centre, steps, timeout)

    def end(self, seconds: float) -> dict[str, str]:
        wait_for(lambda: is_done(self.centre), seconds, "the round is done")
        return read_answers(self.centre)

    def answers(self) -> dict[str, str]:
        return read_answers(self.centre)

    def heard(self, site: str) -> list[str]:
        path = self.site(site) / "heard.txt"
        return path.read_text().splitlines() if path.exists() else []

    # ---- how it is done

    def _start(self, name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        with self.log(name).open("ab") as log:
            environment = environment or self._centre_environment()
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def _do(self, environment: dict[str, str], program: str, *arguments: str, seconds: float = 180) -> str:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _wait_for_port(self, port: int) -> None:
        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens, 120, f"something listens at {port}")

    def _centre_environment(self) -> dict[str, str]:
        return self._environment(C2LST_SERVER_HOME=str(self.centre), C2LST_SERVER_PASSPHRASE=PASSPHRASE)

    def _site_environment(self, name: str) -> dict[str, str]:
        return self._environment(C2LST_HOME=str(self.site(name)))

    def _environment(self, **more: str) -> dict[str, str]:
        path = os.pathsep.join(str(ROOT / part) for part in ("shared", "server", "client", "tests"))
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}
