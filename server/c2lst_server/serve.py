"""Run the HTTP service, and not without encryption where others could listen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst_server.allocator import share_arenas
from c2lst_server.db.session import wait_for_database
from c2lst_server.logs import LOGGERS
from c2lst_server.settings import Settings
from c2lst_shared.errors import BadInput, C2lstError
from c2lst_shared.locking import in_use
from c2lst_shared.logs import LogFormat, log_config
from c2lst_shared.metrics_listener import MetricsPlace, serving_metrics
from c2lst_shared.stopping import stop_on_signal
from c2lst_shared.wire import is_loopback

if TYPE_CHECKING:
    from socket import socket

    import uvicorn
    from fastapi import FastAPI

MAX_CONNECTIONS = 1000  # more are answered 503, which sites take as a reason to come again
GRACE_SECONDS = 30  # for what is being sent when the service is stopped


@dataclass(frozen=True)
class Listener:
    """Where and how to listen."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None  # PEM, with the chain
    tls_key: Path | None = None  # PEM
    insecure_http: bool = False  # allows plain HTTP on other addresses than loopback
    log_format: LogFormat = LogFormat.TEXT
    metrics: MetricsPlace | None = None  # where metrics are read; nowhere by default, and never on `port`

    @property
    def url(self) -> str:
        """What a browser on this machine would open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"


def serve(settings: Settings, listener: Listener) -> None:
    """Serve until stopped.

    Raises:
        BadInput: the home is not initialised, a TLS file is missing, others could listen to plain HTTP or read the metrics,
            or the collector of traces cannot be used.
    """
    from c2lst_server.app import create_app
    from c2lst_server.tracing import open_tracing

    check_listener(listener)
    share_arenas()
    wait_for_database(settings)
    with open_tracing("c2lst-server") as tracing:
        application = create_app(settings, tracing)
        server = stopping_server(application, configured(application, listener, log_config(listener.log_format, *LOGGERS)))
        # uvicorn stops in peace and then raises the signal again, which would end the process before it has tidied up.
        with (
            stop_on_signal(),
            in_use(settings.folders.in_use),
            serving_metrics(listener.metrics, application.state.metrics.registry),
        ):
            server.run()
    if not server.started:
        raise C2lstError("The service did not start; the lines above say why.")


def stopping_server(application: FastAPI, config: uvicorn.Config) -> uvicorn.Server:
    """Return a server that ends open streams of events first when it stops: it would wait for them to end by themselves."""
    import uvicorn

    class StoppingServer(uvicorn.Server):
        async def shutdown(self, sockets: list[socket] | None = None) -> None:
            application.state.changes.close()
            await super().shutdown(sockets)

    return StoppingServer(config)


def configured(application: FastAPI, listener: Listener, logging: dict[str, Any] | None) -> uvicorn.Config:
    """Return how uvicorn serves: with limits on heads, connections and time, and our own line per request."""
    import uvicorn

    from c2lst_server.slow_heads import MAX_HEAD_BYTES, ImpatientProtocol

    return uvicorn.Config(
        application,
        host=listener.host,
        port=listener.port,
        ssl_certfile=listener.tls_cert,
        ssl_keyfile=listener.tls_key,
        http=ImpatientProtocol,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws="none",
        server_header=False,
        access_log=False,
        log_config=logging,
    )


def check_listener(listener: Listener) -> None:
    """Check that what is sent cannot be read on the way.

    Raises:
        BadInput: it could, or the TLS files are not both there.
    """
    if (listener.tls_cert is None) != (listener.tls_key is None):
        raise BadInput("TLS needs both files; pass --tls-cert and --tls-key together.")
    for path in (listener.tls_cert, listener.tls_key):
        if path is not None and not path.is_file():
            raise BadInput(f"There is no file {path}; pass PEM files to --tls-cert and --tls-key.")
    if listener.tls_cert is None and not is_loopback(listener.host) and not listener.insecure_http:
        raise BadInput(
            f"Others could read plain HTTP on {listener.host}; pass --tls-cert and --tls-key, or --insecure-http behind a "
            "reverse proxy that encrypts."
        )
