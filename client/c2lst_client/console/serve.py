"""Run the console on this machine, for whoever has its token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c2lst_client.console.access_token import read_token
from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_shared import locking
from c2lst_shared.errors import BadInput
from c2lst_shared.stopping import stop_on_signal
from c2lst_shared.wire import is_loopback

if TYPE_CHECKING:
    import socket

    from starlette.applications import Starlette

PORT = 8470
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container alone
MOST_CONNECTIONS = 64
GRACE_SECONDS = 5  # for what is being sent when the console is stopped


@dataclass(frozen=True)
class Place:
    """Where the console listens."""

    port: int = PORT
    host: str = LOOPBACK
    in_container: bool = False  # whose port is published at the machine's loopback

    @property
    def address(self) -> str:
        """What a browser on this machine opens."""
        host = LOOPBACK if self.in_container else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def check_place(place: Place) -> None:
    """Check that nobody else can reach it.

    Raises:
        BadInput: others could.
    """
    if not place.in_container and not is_loopback(place.host):
        raise BadInput(
            f"The console would be open to other machines on {place.host}; leave --host away and reach it through an SSH "
            "tunnel, or pass --in-container in a container whose port is published at 127.0.0.1."
        )


def serve(settings: Settings, place: Place, *, new_token: bool = False, ready: Callable[[str], None]) -> None:
    """Serve until stopped.

    Args:
        settings: of the installation.
        place: where to listen.
        new_token: put another token in the place of the one that there is.
        ready: called with the token when the console listens.

    Raises:
        BadInput: others could reach it, or the port is taken.
        Busy: another console serves this state folder.
        BadArtefact: the token that is there cannot be used.
    """
    check_place(place)
    from c2lst_client.console.app import create_app

    home = settings.folders
    home.console.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locking.locked(home.console_lock, _taken(home), wait=1):
        token = read_token(home, renew=new_token)
        listening = _listen(place)
        with listening, stop_on_signal():
            ready(token)
            _run(create_app(settings, token), listening)


def _taken(home: Home) -> str:
    return f"A console of {home.path} runs already; use that one, or stop it first."


def _listen(place: Place) -> socket.socket:
    import socket

    host = EVERYWHERE if place.in_container and is_loopback(place.host) else place.host
    try:
        return socket.create_server((host, place.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise BadInput(f"The console cannot listen on {host}:{place.port} ({error.strerror}); pass another --port.") from error


def _run(app: Starlette, listening: socket.socket) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends the streams of events before it waits for connections to end."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.console.changes.close()
            await app.state.console.checkup.end()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        ws="none",
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=False,
        lifespan="off",
    )
    Server(config).run([listening])
