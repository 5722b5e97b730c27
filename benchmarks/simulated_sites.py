"""Sites as the server sees them, many of them in one process: a bare HTTP client, so that the server is what is measured.

Each site has a key and an address of its own. The address comes as the proxy in front of the service would tell it
(X-Forwarded-For, believed from loopback only), so the limits per address stay as they are in service.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from c2lst_client.trust.identity import sign_assertion
from c2lst_shared.wire import TokenRequest

PIECE = 1 << 20
PATIENCE = 120.0  # seconds for one answer


@dataclass
class Tally:
    """What came back."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # kind of request -> each
    errors: Counter[str] = field(default_factory=Counter)
    received: int = 0  # bytes of pulls

    def add(self, other: Tally) -> None:
        for kind, values in other.seconds.items():
            self.seconds[kind] += values
        self.errors += other.errors
        self.received += other.received


@dataclass(frozen=True)
class Place:
    """Where the server is."""

    url: str
    ca_pem: str | None = None

    @property
    def trust(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cadata=self.ca_pem) if self.ca_pem else None


@dataclass(frozen=True)
class SimulatedSite:
    name: str
    address: str
    key: EllipticCurvePrivateKey


class Connection:
    """One connection that is kept for several requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, address: str) -> None:
        self._reader, self._writer, self._host, self._address = reader, writer, host, address

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, keep: bool = True, **headers: str
    ) -> tuple[int, bytes, int]:
        """Return status, body (empty when it is not kept) and its length."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"X-Forwarded-For: {self._address}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] * bool(body)
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        parts, left = [], length
        while left:
            part = await self._reader.read(min(PIECE, left))
            if not part:
                raise ConnectionError("the body ended early")
            left -= len(part)
            if keep:
                parts.append(part)
        return int(head.split(" ", 2)[1]), b"".join(parts), length


@asynccontextmanager
async def connected(place: Place, trust: ssl.SSLContext | None, address: str):
    parts = urlsplit(place.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=trust, limit=PIECE)
    try:
        yield Connection(reader, writer, parts.netloc, address)
    finally:
        writer.close()


async def visit(place: Place, trust: ssl.SSLContext | None, site: SimulatedSite, tally: Tally) -> None:
    """Do what a site does when it looks for news: token, catalogue, timestamp, how it is known."""
    try:
        async with asyncio.timeout(PATIENCE), connected(place, trust, site.address) as connection:
            request = TokenRequest(client_assertion=sign_assertion(site.key, site.name, place.url))
            body = urlencode(
                {
                    "grant_type": request.grant_type,
                    "client_assertion_type": request.client_assertion_type,
                    "client_assertion": request.client_assertion.get_secret_value(),
                }
            ).encode()
            form = {"Content_Type": "application/x-www-form-urlencoded"}
            answer = await _timed(tally, "token", connection, "POST", TokenRequest.path, body, **form)
            token = json.loads(answer).get("access_token", "")
            await _timed(tally, "catalogue", connection, "GET", "/api/v1/releases")
            await _timed(tally, "timestamp", connection, "GET", "/tuf/metadata/timestamp.json")
            await _timed(tally, "status", connection, "GET", "/api/v1/sites/me", Authorization=f"Bearer {token}")
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        tally.errors[f"visit: {type(error).__name__}"] += 1


async def _timed(
    tally: Tally, kind: str, connection: Connection, method: str, path: str, body: bytes = b"", **headers: str
) -> bytes:
    began = time.perf_counter()
    status, answer, _ = await connection.ask(method, path, body, **headers)
    tally.seconds[kind].append(time.perf_counter() - began)
    if status != 200:
        tally.errors[f"{kind}: {status}"] += 1
    return answer


async def pull(place: Place, trust: ssl.SSLContext | None, address: str, path: str, length: int, tally: Tally) -> None:
    """Fetch a file in two parts, the second one by Range, as a download that was interrupted goes on."""
    began, half = time.perf_counter(), length // 2
    try:
        for first in (0, half):
            async with connected(place, trust, address) as connection:
                wanted = f"bytes={first}-{half - 1 if first == 0 else ''}"
                status, _, got = await connection.ask("GET", path, keep=False, Range=wanted)
                tally.received += got
                if status != 206 or got != (half if first == 0 else length - half):
                    tally.errors[f"pull: {status}, {got} bytes"] += 1
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        tally.errors[f"pull: {type(error).__name__}"] += 1
    tally.seconds["pull"].append(time.perf_counter() - began)


async def visits(place: Place, sites: list[SimulatedSite], tally: Tally, *, at_once: int, times: int) -> None:
    """Let every site visit so many times, `at_once` of them at the same time."""
    trust, free = place.trust, asyncio.Semaphore(at_once)

    async def one(site: SimulatedSite) -> None:
        async with free:
            await visit(place, trust, site, tally)

    for _ in range(times):
        await asyncio.gather(*(one(site) for site in sites))


async def pulls(place: Place, path: str, length: int, tally: Tally, *, count: int) -> None:
    """Let so many sites fetch the same file, all at the same time."""
    trust = place.trust
    await asyncio.gather(*(pull(place, trust, f"10.9.0.{number}", path, length, tally) for number in range(1, count + 1)))


async def steadily(
    place: Place, sites: list[SimulatedSite], path: str, length: int, tally: Tally, *, per_second: float, seconds: float
) -> None:
    """Let sites visit one after the other at an even pace, and one pull follow the other."""
    trust, end = place.trust, time.monotonic() + seconds
    running: set[asyncio.Task[None]] = set()

    async def pulling() -> None:
        while time.monotonic() < end:
            await pull(place, trust, "10.9.0.1", path, length, tally)
            await asyncio.sleep(10)

    fetching = asyncio.create_task(pulling())
    number = 0
    while time.monotonic() < end:
        running.add(task := asyncio.create_task(visit(place, trust, sites[number % len(sites)], tally)))
        task.add_done_callback(running.discard)
        number += 1
        await asyncio.sleep(1 / per_second)
    await asyncio.gather(*running, fetching)
