"""The real server under load: many sites that look for news, and many pulls of a large release at the same time.

    python benchmarks/server.py [--sites 1000] [--at-once 100] [--times 3] [--pulls 50] [--mib 200] [--together] [--tls]
    python benchmarks/server.py --soak [MINUTES] [--per-second 5]

`c2lst-server serve` runs in a process of its own, with its limits as they are by default; sites and pulls in one process each:
first the sites alone, then the pulls alone, then both at once (`--together`: that only). A soak judges by the rule of
`steadiness.py` whether the server grows. The exit code is 1 after an error, or when something grows; `--json` prints JSON.
Figures are of this machine with everything on it: the simulated sites take their share of the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import signal
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil
from process_watch import Watch
from served_centre import Centre, prepare, served
from simulated_sites import Place, SimulatedSite, Tally, pulls, steadily, visits
from steadiness import Growth, growth

SOAK_MINUTES = 20.0
LOOKS = 120  # at the server in a soak
FIGURES = ("rss_mib", "files", "threads", "wal_mib")  # that must not grow


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
    phases = {"sites": [visiting], "pulls": [pulling], "sites and pulls": [visiting, pulling]}
    found = {}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_warm, range(2))
        for name in list(phases)[-1:] if given.together else phases:
            began, tally = time.perf_counter(), Tally()
            with Watch(server, 0.2).looking() as watch:
                for part in [pool.apply_async(*each) for each in phases[name]]:
                    tally.add(part.get())
            found[name] = figures(tally, time.perf_counter() - began, watch)
            if not given.json:
                print_phase(name, found[name])
    return found


def _warm(_: int) -> None:
    time.sleep(0.5)  # each process of the pool takes one, and has imported everything before the clock runs


def soak(given: argparse.Namespace, place: Place, centre: Centre, server: psutil.Process, metrics: str) -> dict[str, object]:
    """An even load for a long time; what grows after the warm-up has a leak."""
    began, seconds = time.perf_counter(), 60 * given.soak
    watch = Watch(server, min(10.0, seconds / LOOKS), centre.home / "c2lst.sqlite3-wal")
    with multiprocessing.get_context("spawn").Pool(1) as pool, watch.looking():
        work = (place, _closed(centre.sites), centre.path, centre.length, given.per_second, seconds)
        running, said = pool.apply_async(_steadily, work), 0
        while not running.ready():
            running.wait(watch.every)
            with urllib.request.urlopen(metrics, timeout=30) as answer:
                answer.read()
            if not given.json and len(watch.rows) >= said + 6:
                said = len(watch.rows)
                print_look(watch.rows[-1])
        tally = running.get()
    found = figures(tally, time.perf_counter() - began, watch)
    judged = [growth(watch.rows, name) for name in FIGURES]
    if not given.json:
        print_phase("soak", found)
        print_growth(judged)
    return found | {"growth": {each.name: each.__dict__ for each in judged}, "rows": watch.rows}


def failed(found: dict[str, object]) -> bool:
    """Whether a soak, or a phase of the load, saw an error, or something that grows."""
    grown = found.get("growth", {})
    return bool(found["errors"]) or any(each["verdict"] == "grows" for each in grown.values())  # type: ignore[attr-defined]


def print_look(row: dict[str, float]) -> None:
    figures = "{rss_mib:7.1f} MiB  {files:4.0f} files  {threads:3.0f} threads  {wal_mib:5.1f} MiB of log".format(**row)
    print(f"  {row['seconds']:6.0f} s  {figures}", flush=True)


def print_growth(judged: Sequence[Growth]) -> None:
    print(f"  growth in {60 * judged[0].hours:.1f} minutes after the warm-up (floors; Theil-Sen slope with its 95 % interval)")
    for each in judged:
        print(f"  {each.sentence()}")


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
    parser.add_argument("--together", action="store_true", help="only sites and pulls at once")
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
        print(f"The server's log: {line[-800:]}", file=sys.stderr)
    parts = [found] if given.soak is not None else list(found.values())
    sys.exit(int(any(failed(part) for part in parts)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
