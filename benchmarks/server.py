"""The real server under load: many sites that look for news, and many pulls of a large release at the same time.

    python benchmarks/server.py [--sites 1000] [--at-once 100] [--times 3] [--pulls 50] [--mib 200] [--tls] [--json]
    python benchmarks/server.py --soak [MINUTES]

`c2lst-server serve` runs in a process of its own, with its limits as they are by default; sites and pulls in one process each.
Figures are of this machine with everything on it: the simulated sites take their share of the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from simulated_sites import Place, SimulatedSite, Tally, pulls, steadily, visits

SOAK_MINUTES = 20.0
SAMPLE_SECONDS = 10.0  # between two looks at the server in a soak


@dataclass
class Centre:
    """A home with a release and active sites."""

    home: Path
    path: str  # under which the weights are served
    length: int
    sites: list[SimulatedSite]


@dataclass
class Watch:
    """Looks at a process until told to stop."""

    process: psutil.Process
    every: float
    rows: list[dict[str, float]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        began = time.monotonic()
        while True:
            with self.process.oneshot():
                memory = self.process.memory_info()
                row = {
                    "seconds": round(time.monotonic() - began, 1),
                    "rss_mib": round(memory.rss / 2**20, 1),
                    "files": self.process.num_fds(),
                    "threads": self.process.num_threads(),
                    "cpu_seconds": round(sum(self.process.cpu_times()[:2]), 2),
                }
            self.rows.append(row)
            if self._over.wait(self.every):
                return

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        thread = threading.Thread(target=self.look)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def most(self, name: str) -> float:
        return max(row[name] for row in self.rows)


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


def _visit(place: Place, sites: list[tuple[str, str, bytes]], at_once: int, times: int) -> Tally:
    tally = Tally()
    asyncio.run(visits(place, _opened(sites), tally, at_once=at_once, times=times))
    return _plain(tally)


def _pull(place: Place, path: str, length: int, count: int) -> Tally:
    tally = Tally()
    asyncio.run(pulls(place, path, length, tally, count=count))
    return _plain(tally)


def _steadily(
    place: Place, sites: list[tuple[str, str, bytes]], path: str, length: int, per_second: float, seconds: float
) -> Tally:
    tally = Tally()
    asyncio.run(steadily(place, _opened(sites), path, length, tally, per_second=per_second, seconds=seconds))
    return _plain(tally)


def _closed(sites: list[SimulatedSite]) -> list[tuple[str, str, bytes]]:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return [
        (site.name, site.address, site.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())) for site in sites
    ]


def _opened(sites: list[tuple[str, str, bytes]]) -> list[SimulatedSite]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return [SimulatedSite(name, address, load_pem_private_key(pem, None)) for name, address, pem in sites]


def _plain(tally: Tally) -> Tally:
    return Tally(dict(tally.seconds), tally.errors, tally.received)


def figures(tally: Tally, seconds: float, watch: Watch) -> dict[str, object]:
    """Sum one phase up."""
    kinds = {}
    for kind, values in tally.seconds.items():
        cuts = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
        kinds[kind] = {"count": len(values), "p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}
    requests = sum(len(values) for kind, values in tally.seconds.items() if kind != "pull")
    return {
        "seconds": round(seconds, 1),
        "server_cpu_seconds": round(watch.rows[-1]["cpu_seconds"] - watch.rows[0]["cpu_seconds"], 1),
        "requests_per_second": round(requests / seconds, 1),
        "mib_per_second": round(tally.received / seconds / 2**20, 1),
        "kinds": kinds,
        "errors": dict(tally.errors),
        "rss_mib": watch.most("rss_mib"),
        "files": watch.most("files"),
        "threads": watch.most("threads"),
    }


def load(given: argparse.Namespace, place: Place, centre: Centre, server: psutil.Process) -> dict[str, object]:
    """Sites alone, pulls alone, both at once."""
    sites = _closed(centre.sites)
    visiting = (_visit, (place, sites, given.at_once, given.times))
    pulling = (_pull, (place, centre.path, centre.length, given.pulls))
    found = {}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_warm, range(2))
        for name, work in (("sites", [visiting]), ("pulls", [pulling]), ("sites and pulls", [visiting, pulling])):
            began, tally = time.perf_counter(), Tally()
            with Watch(server, 0.2).looking() as watch:
                for part in [pool.apply_async(*each) for each in work]:
                    tally.add(part.get())
            found[name] = figures(tally, time.perf_counter() - began, watch)
            if not given.json:
                print_phase(name, found[name])
    return found


def _warm(_: int) -> None:
    time.sleep(0.5)  # each process of the pool takes one, and has imported everything before the clock runs


def soak(given: argparse.Namespace, place: Place, centre: Centre, server: psutil.Process, metrics: str) -> dict[str, object]:
    """An even load for a long time; what grows in the second half has a leak."""
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(1) as pool, Watch(server, SAMPLE_SECONDS).looking() as watch:
        work = (place, _closed(centre.sites), centre.path, centre.length, given.per_second, 60 * given.soak)
        running, said = pool.apply_async(_steadily, work), 0
        while not running.ready():
            running.wait(SAMPLE_SECONDS)
            with urllib.request.urlopen(metrics, timeout=30) as answer:
                answer.read()
            if not given.json and len(watch.rows) >= said + 6:
                said = len(watch.rows)
                print(
                    "  {seconds:6.0f} s  {rss_mib:7.1f} MiB  {files:4.0f} files  {threads:3.0f} threads".format(
                        **watch.rows[-1]
                    ),
                    flush=True,
                )
        tally = running.get()
    found = figures(tally, time.perf_counter() - began, watch)
    half = watch.rows[len(watch.rows) // 2 :]
    hours = (half[-1]["seconds"] - half[0]["seconds"]) / 3600
    growth = {}
    for name in ("rss_mib", "files", "threads"):
        slope = statistics.linear_regression([row["seconds"] for row in half], [row[name] for row in half]).slope
        growth[name] = round(slope * 3600, 2)
    found |= {"second_half_hours": round(hours, 2), "growth_per_hour": growth, "rows": watch.rows}
    if not given.json:
        print_phase("soak", found)
        print(f"  growth per hour in the second half: {growth}")
    return found


def print_phase(name: str, found: dict[str, object]) -> None:
    most = f"{found['rss_mib']:.0f} MiB, {found['files']:.0f} files, {found['threads']:.0f} threads"
    speed = f"{found['requests_per_second']} requests/s, {found['mib_per_second']} MiB/s for {found['seconds']} s"
    print(f"{name}: {speed}; server {found['server_cpu_seconds']} s of CPU, at most {most}")
    print(f"  errors: {found['errors'] or 'none'}")
    for kind, row in found["kinds"].items():  # type: ignore[attr-defined]
        print(f"  {kind:<10} {row['count']:>6}  p50 {row['p50_ms']:>9} ms  p99 {row['p99_ms']:>9} ms", flush=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=100, help="sites that visit at the same time")
    parser.add_argument("--times", type=int, default=3, help="visits of each site")
    parser.add_argument("--pulls", type=int, default=50, help="at the same time")
    parser.add_argument("--mib", type=int, default=200, help="size of the release that is pulled")
    parser.add_argument("--tls", action="store_true", help="encrypt, with a certificate authority made for the run")
    parser.add_argument("--soak", type=float, nargs="?", const=SOAK_MINUTES, metavar="MINUTES", help="an even load instead")
    parser.add_argument("--per-second", type=float, default=5.0, help="visits in a soak")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended as well
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, metrics_port = free_port(), free_port()
        tls, ca_pem = None, None
        if given.tls:
            from fakes.tls import new_authority, server_files

            authority = new_authority()
            tls, ca_pem = server_files(authority, folder), authority.pem
        place = Place(f"{'https' if given.tls else 'http'}://127.0.0.1:{port}", ca_pem)
        centre = prepare(folder, mib=given.mib, sites=given.sites, url=place.url)
        with served(centre.home, port, metrics_port, folder / "server.log", tls) as server:
            metrics = f"http://127.0.0.1:{metrics_port}/metrics"
            found = load(given, place, centre, server) if given.soak is None else soak(given, place, centre, server, metrics)
        troubles = [line for line in (folder / "server.log").read_text().splitlines() if '"level": "ERROR"' in line]
    if given.json:
        print(json.dumps(found, indent=1))
    for line in troubles[:10]:
        print(f"The server's log: {line[:400]}", file=sys.stderr)


if __name__ == "__main__":
    main()
