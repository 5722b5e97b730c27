"""Nobody asks more often than people and sites need to: limits per address, and per site once it is known."""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from c2lst_server.dashboard import pages
from c2lst_server.errors import TooMany
from c2lst_server.problems import problem
from c2lst_server.settings import Settings
from c2lst_shared.wire import EnrolmentRequest, TokenRequest

SWEEP_SECONDS = 60.0  # between two looks for callers that can be forgotten
SIGN_IN = {EnrolmentRequest.path, TokenRequest.path, pages.SIGN_IN}  # where secrets could be guessed


class Limits:
    """Counts requests, in the memory of this process."""

    def __init__(self, settings: Settings) -> None:
        self._storage = MemoryStorage()
        self._counting = MovingWindowRateLimiter(self._storage)
        self._sweep_due = time.monotonic() + SWEEP_SECONDS
        self._per_address = parse(settings.rate_per_address)
        self._sign_in = parse(settings.rate_sign_in)
        self._per_site = parse(settings.rate_per_site)

    def check_address(self, host: str, path: str) -> None:
        """Count a request from an address.

        Raises:
            TooMany: it is one too many.
        """
        self._count(self._per_address, "address", _network(host))
        if path in SIGN_IN:
            self._count(self._sign_in, "sign-in", _network(host))

    def check_site(self, name: str) -> None:
        """Count a request of a site that showed who it is.

        Raises:
            TooMany: it is one too many.
        """
        self._count(self._per_site, "site", name)

    @property
    def known(self) -> int:
        """How many callers are remembered now."""
        return len(self._storage.events)

    def _count(self, limit: RateLimitItem, *who: str) -> None:
        if time.monotonic() >= self._sweep_due:
            self._sweep_due = time.monotonic() + SWEEP_SECONDS
            self._sweep()
        if not self._counting.hit(limit, *who):
            again, _ = self._counting.get_window_stats(limit, *who)
            wait = max(1, math.ceil(again - time.time()))
            raise TooMany(f"Too many requests; ask again in {wait} seconds.", wait)

    def _sweep(self) -> None:
        """Forget who has not asked lately: the storage drops their requests in time, and would keep their names for ever."""
        for key in list(self._storage.events):
            with self._storage.locks[key]:
                if not self._storage.events.get(key):
                    self._storage.events.pop(key, None)
                    self._storage.locks.pop(key, None)  # whoever waits for it counts one request beside the others at worst


class RateLimit:
    """ASGI middleware that answers 429 to an address that asks too often."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            try:
                self._limits.check_address(host_of(scope), scope["path"])
            except TooMany as error:
                await _refusal(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(scope: Scope, error: TooMany) -> Response:
    """People get a page, programs a problem detail."""
    headers = {"Retry-After": str(error.wait)}
    if not scope["path"].startswith(pages.PREFIX):
        return problem(429, str(error), headers=headers)
    page = pages.show_error(Request(scope), 429, str(error))
    page.headers.update(headers)
    return page


def host_of(scope: Scope) -> str:
    """Return the address that asks; behind a proxy uvicorn has put the one that the proxy names."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _network(host: str) -> str:
    """Return the address, or the /64 of an IPv6 one, all of which one customer has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host
