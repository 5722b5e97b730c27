"""A proxy as hospitals have them: it opens tunnels (HTTP CONNECT) and notes where to."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        method, place, _ = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append((method, place))  # type: ignore[attr-defined]
        host, _, port = place.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            here = self.connection
            while True:
                for ready in select.select([here, there], [], [], 30)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (there if ready is here else here).sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken tunnels are no news."""


@contextmanager
def connect_proxy() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Give its URL, and what it was asked."""
    with _Server(("127.0.0.1", 0), _Tunnel) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked  # type: ignore[attr-defined]
        server.shutdown()
