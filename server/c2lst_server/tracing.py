"""Spans for the OpenTelemetry collector that OTEL_EXPORTER_OTLP_ENDPOINT names; where it names none, nothing is traced.

Only the centre does this. A span holds what is written here and nothing else: template of the route, method, status, kind of a
statement, ids of the request and of the round. The ready-made instrumentations write paths, query strings, addresses,
statements and the words of errors by themselves, and would have to be watched; so the stable interface alone is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from c2lst_server.metrics import OTHER, method_and_route
from c2lst_shared.errors import BadInput
from c2lst_shared.logs import current_ids

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORT_SECONDS = 5  # for which a collector that is away is tried; at a stop this is waited for
STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_SPAN = "c2lst_span"  # where a statement's span is kept until it is over
_IS_MISSING = (
    f"{ENDPOINT} asks for traces, and OpenTelemetry is not installed; install c2lst[server,otel], or take the variable away."
)


def collector() -> str | None:
    """Return the URL of the collector that the environment names, None when there is none.

    Raises:
        BadInput: it is no URL, or the extra `otel` is not installed.
    """
    url = os.environ.get(ENDPOINT, "").strip().rstrip("/")
    if not url:
        return None
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise BadInput(f"{ENDPOINT} is no URL; set it to that of a collector which takes OTLP over HTTP, as http://host:4318.")
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401
    except ImportError as error:
        raise BadInput(_IS_MISSING) from error
    return url


@contextmanager
def open_tracing(service: str) -> Iterator[Tracing]:
    """Trace the body under the name `service`; what it wrote has been sent, or given up, at the end.

    Raises:
        BadInput: as `collector`.
    """
    url = collector()
    if url is None:
        yield UNTRACED
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": service, "service.version": version("c2lst")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield Tracing(provider.get_tracer("c2lst"))
    finally:
        provider.shutdown()


class Tracing:
    """Writes spans, or does nothing where no collector is named. Each carries the ids that its lines in the log would carry."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    @property
    def is_on(self) -> bool:
        """Whether spans are written."""
        return self._tracer is not None

    @contextmanager
    def span(self, name: str, *, serves: bool = False) -> Iterator[Span | None]:
        """Time the body.

        Args:
            name: of what it does, without a value in it.
            serves: whether it answers a request from elsewhere.
        """
        if self._tracer is None:
            yield None
            return
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(
            name,
            kind=SpanKind.SERVER if serves else SpanKind.INTERNAL,
            attributes=_ids(),
            record_exception=False,  # its words may quote anything
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception:
                mark_failed(span)
                raise

    def watch(self, engine: Engine) -> None:
        """Write a span for each statement that is made within another span."""
        tracer = self._tracer
        if tracer is None:
            return
        from opentelemetry.trace import SpanKind, get_current_span

        def begin(_conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
            if get_current_span().is_recording():
                word = statement.split(maxsplit=1)[0].upper()
                kind = word if word in STATEMENTS else OTHER
                known = {"db.system.name": engine.dialect.name, "db.operation.name": kind}
                setattr(context, _SPAN, tracer.start_span(kind, kind=SpanKind.CLIENT, attributes=_ids() | known))

        def end(_conn: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
            span = getattr(context, _SPAN, None)
            if span is not None:
                span.end()

        def fail(failure: Any) -> None:
            span = getattr(failure.execution_context, _SPAN, None)
            if span is not None:
                mark_failed(span)
                span.end()

        event.listen(engine, "before_cursor_execute", begin)
        event.listen(engine, "after_cursor_execute", end)
        event.listen(engine, "handle_error", fail)


UNTRACED = Tracing(None)


class TraceRequests:
    """ASGI middleware that writes a span for each request; it stands within the one that gives requests their ids."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.span("request", serves=True) as span:
            assert span is not None  # noqa: S101 - it is added only where spans are written

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        mark_failed(span)
                await send(message)

            try:
                await self._app(scope, receive, noting)
            finally:
                method, route = method_and_route(scope)
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.request.method": method, "http.route": route})


def mark_failed(span: Span) -> None:
    """Say that what the span times went wrong; what the error said stays in the log."""
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR)


def _ids() -> dict[str, str]:
    return {f"c2lst.{name}_id": value for name, value in current_ids().items()}
