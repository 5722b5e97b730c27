"""What the service counts about itself, for Prometheus. Labels are few and known beforehand: no site, no address, no path.

Requests are counted here, in the process that serves; what rests in database, repository and disk is read by `state_metrics`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"  # a method that nobody knows, a path that is no route
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # a release may take minutes


class Metrics:
    """The counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "c2lst_server_requests", "Requests that were answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "c2lst_server_request_seconds",
            "Seconds from a request to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.database_errors = Counter(
            "c2lst_server_database_errors", "Statements that the database did not carry out.", ["kind"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(Threads())

    def watch(self, engine: Engine) -> None:
        """Count the errors of a database."""

        def note(context: ExceptionContext) -> None:
            error = context.sqlalchemy_exception
            if error is not None and not isinstance(error, IntegrityError):  # that one is an answer: it is there already
                self.database_errors.labels(type(error).__name__).inc()

        event.listen(engine, "handle_error", note)


class Threads(Collector):
    """How many threads the process has; one that grows for days is a leak."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count them."""
        yield GaugeMetricFamily("c2lst_server_threads", "Threads of the process.", threading.active_count())


class CountRequests:
    """ASGI middleware that counts every answer by its route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count how it ended; status 0 is an answer that nobody got."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method, route = method_and_route(scope)
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)


def method_and_route(scope: Scope) -> tuple[str, str]:
    """Return a request's method and the template of its route, once it was led there; never what a caller made up."""
    return scope["method"] if scope["method"] in METHODS else OTHER, str(getattr(scope.get("route"), "path", OTHER))
