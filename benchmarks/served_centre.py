"""A centre for benchmarks: a home with a large release and many active sites, served by the real command."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_sites import SimulatedSite


@dataclass
class Centre:
    """A home with a release and active sites."""

    home: Path
    path: str  # under which the weights are served
    length: int
    sites: list[SimulatedSite]


def prepare(folder: Path, *, mib: int, sites: int, url: str) -> Centre:
    """Publish a release of about `mib` and enrol the sites, in a process that ends: it imports more than the server does."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        path, length, keys = pool.apply(_prepare, (folder, mib, sites, url))
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = [
        SimulatedSite(f"site-{number}", f"10.1.{number // 250}.{number % 250 + 1}", load_pem_private_key(pem, None))
        for number, pem in enumerate(keys)
    ]
    return Centre(folder / "central", path, length, found)


def _prepare(folder: Path, mib: int, sites: int, url: str) -> tuple[str, int, list[bytes]]:
    import torch
    from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from fakes.central import Central

    from c2lst_client.trust.identity import key_fingerprint, public_pem
    from c2lst_server.db.models import ACTIVE, Site

    central = Central(folder / "central")
    central.publish("run", weights={f"layer{number}.weight": torch.randn(1024, 1024) for number in range(max(1, mib // 4))})
    keys, now = [generate_private_key(SECP384R1()) for _ in range(sites)], datetime.now(UTC)
    with central.session() as session:
        for number, key in enumerate(keys):
            known = {"public_key_pem": public_pem(key), "key_fingerprint": key_fingerprint(key), "server": url}
            session.add(Site(name=f"site-{number}", state=ACTIVE, added=now, enrolled=now, **known))
        session.commit()
    weights = central.served("weights.safetensors")
    pems = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys]
    return f"/tuf/targets/{weights.relative_to(central.home.targets)}", weights.stat().st_size, pems


@contextmanager
def served(home: Path, port: int, metrics_port: int, log: Path, tls: tuple[Path, Path] | None) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "c2lst_server", "serve", "--port", str(port), "--home", str(home)]
    command += ["--metrics-port", str(metrics_port), "--log-format", "json"]
    if tls:
        command += ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])]
    with log.open("wb") as lines:
        server = subprocess.Popen(command, stdout=lines, stderr=lines, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        _wait_for(port, server, log)
        yield psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"The server did not start:\n{log.read_text()}")
