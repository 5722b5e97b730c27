"""A collector of traces on loopback: it takes what OTLP over HTTP sends, decodes it and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROUTE = "/v1/traces"


class TraceCollector:
    """What came in, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The attributes of each sender."""
        return [_values(part.resource.attributes) for part in self._parts()]

    @property
    def spans(self) -> list[Any]:
        """Every span, as `opentelemetry.proto.trace.v1.Span`."""
        return [span for part in self._parts() for scope in part.scope_spans for span in scope.spans]

    def named(self, name: str) -> list[Any]:
        """The spans of this name."""
        return [span for span in self.spans if span.name == name]

    def _parts(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [part for body in self.bodies for part in ExportTraceServiceRequest.FromString(body).resource_spans]


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span."""
    return _values(span.attributes)


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[TraceCollector]:
    """Collect while the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == ROUTE and self.headers["Content-Type"] == "application/x-protobuf":
                collector.bodies.append(body)
                self.send_response(200)
            else:
                self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = TraceCollector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
