"""A listener of its own for Prometheus metrics: off by default, on loopback, and elsewhere only for whoever shows a token.

It has threads of its own, so that metrics can be read while the service that they are about is stuck.
"""

from __future__ import annotations

import hmac
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from c2lst_shared.errors import BadInput
from c2lst_shared.wire import is_loopback

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

LOOPBACK = "127.0.0.1"
SECONDS = 10  # for which a connection may say nothing
MOST = 8  # requests at a time; more wait their turn
LEAST_TOKEN = 16  # characters

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class MetricsPlace:
    """Where metrics are read, and by whom."""

    port: int
    host: str = LOOPBACK
    token_file: Path | None = None  # its first line must be shown as a bearer token


@contextmanager
def serving_metrics(place: MetricsPlace | None, registry: CollectorRegistry) -> Iterator[None]:
    """Answer `GET /metrics` while the body runs; nothing at all without a place.

    Raises:
        BadInput: others could read without a token, the token cannot be used, or the port is taken.
    """
    if place is None:
        yield
        return
    application = _guarded(registry, _token(place))
    try:
        server = make_server(place.host, place.port, application, _family(place.host), _Handler)
    except OSError as error:
        raise BadInput(
            f"Metrics cannot be served on {place.host}:{place.port} ({error}); pass another --metrics-port."
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _token(place: MetricsPlace) -> bytes | None:
    if place.token_file is None:
        if not is_loopback(place.host):
            raise BadInput(
                f"Others could read the metrics on {place.host}; pass --metrics-token-file as well, or leave it on loopback."
            )
        return None
    try:
        token = place.token_file.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"The token of the metrics cannot be read: {error}; pass a text file to --metrics-token-file."
        ) from error
    if len(token) < LEAST_TOKEN:
        raise BadInput(
            f"The token in {place.token_file} is shorter than {LEAST_TOKEN} characters; `openssl rand -hex 32` makes one."
        )
    return token.encode()


def _guarded(registry: CollectorRegistry, token: bytes | None) -> Wsgi:
    """Return the application that gives out `registry` at /metrics, to whoever shows the token when there is one."""
    from prometheus_client import make_wsgi_app

    metrics: Wsgi = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        shown = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if token is not None and not hmac.compare_digest(shown, b"Bearer " + token):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
            return [b"This needs the token of the metrics.\n"]
        if environ["PATH_INFO"] != "/metrics" or environ["REQUEST_METHOD"] != "GET":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There is GET /metrics only.\n"]
        return metrics({**environ, "QUERY_STRING": ""}, start_response)

    return application


class _Server(WSGIServer):
    """One thread per request, a few at a time; none of them is waited for at the end."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._free = threading.BoundedSemaphore(MOST)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        threading.Thread(target=self._answer, args=(request, client_address), name="metrics", daemon=True).start()

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # it went away
            pass
        finally:
            self.shutdown_request(request)
            self._free.release()

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: who reads metrics reads them every few seconds."""


def _family(host: str) -> type[_Server]:
    return _Server6 if ":" in host else _Server
