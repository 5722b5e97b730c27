"""`c2lst-server serve` in a process of its own, and sites that ask it for things."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey, generate_private_key
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from c2lst_client.trust.identity import key_fingerprint, public_pem, sign_assertion
from c2lst_server.home import Home
from c2lst_server.sites.registry import Address, invite
from c2lst_shared.wire import EnrolmentFile, EnrolmentRequest, TokenRequest
from fakes.federation import ROOT, free_port, wait_for


@dataclass
class ServedProcess:
    """A home that is served; it may be killed and started again at the same ports."""

    home: Home
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = os.pathsep.join(str(ROOT / part) for part in ("shared", "server", "client", "tests"))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **self.settings}
        command = [sys.executable, "-m", "c2lst_server", "serve", "--home", str(self.home.path), "--port", str(self.port)]
        command += ["--metrics-port", str(self.metrics_port), "--log-format", "json"]
        with self.log.open("ab") as lines:
            self.process = subprocess.Popen(command, stdout=lines, stderr=lines, env=environment)
        wait_for(self._answers, 60, "the service answers")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False, timeout=60).text

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=60, **options)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def served_process(home: Home, log: Path, **settings: str) -> Iterator[ServedProcess]:
    served = ServedProcess(home, log, settings)
    try:
        served.start()
        yield served
    finally:
        served.stop()


@dataclass
class AskingSite:
    """A site that enrols and asks for tokens over HTTP."""

    name: str
    file: EnrolmentFile
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP384R1()))

    def enrol(self, http: httpx.Client) -> httpx.Response:
        request = EnrolmentRequest(token=self.file.token, public_key_pem=public_pem(self.key))
        return http.post(
            request.path, json={"token": self.file.token.get_secret_value(), "public_key_pem": request.public_key_pem}
        )

    def ask_token(self, http: httpx.Client) -> httpx.Response:
        assertion = sign_assertion(self.key, self.name, self.file.server)
        request = TokenRequest(client_assertion=assertion)
        form = {
            "grant_type": request.grant_type,
            "client_assertion_type": request.client_assertion_type,
            "client_assertion": assertion.get_secret_value(),
        }
        return http.post(request.path, data=form)

    @property
    def fingerprint(self) -> str:
        return key_fingerprint(self.key)


def invited_sites(home: Home, folder: Path, count: int, url: str, *, database: str | None = None) -> list[AskingSite]:
    """Invite so many sites, straight in the database: SQLite in the home, or the one at the URL `database`."""
    engine = create_engine(database or f"sqlite:///{home.database}")
    found = []
    with Session(engine) as session:
        for number in range(count):
            name = f"site-{number}-{secrets.token_hex(2)}"
            found.append(AskingSite(name, invite(session, home, name, Address(url), out=folder / f"{name}.json")))
    engine.dispose()
    return found


@contextmanager
def working(jobs: list[Callable[[], None]]) -> Iterator[None]:
    """Repeat each job in a thread of its own while the body runs; one that cannot reach the service tries again."""
    over = Event()

    def repeat(job: Callable[[], None]) -> None:
        while not over.is_set():
            try:
                job()
            except httpx.HTTPError:
                time.sleep(0.05)

    threads = [Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
