"""`c2lst-client join`: the site takes part in rounds for as long as this runs.

Three processes, each kept running: the SuperNode (Flower's, the link to the centre, outbound only), the app (answers requests
by the site's policy), and the worker (does the work that was approved).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from c2lst_client.home import Home
from c2lst_client.metrics import serving_site_metrics
from c2lst_client.settings import Settings
from c2lst_client.trust.identity import take_key
from c2lst_client.trust.pinned import Enrolment, load_enrolment
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput
from c2lst_shared.flower import child
from c2lst_shared.flower.environment import flower_environment
from c2lst_shared.flower.heartbeat import Heartbeat
from c2lst_shared.flower.supervisor import Event, Service, Supervisor
from c2lst_shared.flower.tasks import take_secret
from c2lst_shared.locking import locked
from c2lst_shared.logs import LogFormat
from c2lst_shared.metrics_listener import MetricsPlace

NODE, APP, WORKER = "node", "app", "worker"
HTTPS_PORT = 443


@dataclass(frozen=True)
class Parts:
    """What the processes run that is not Flower's: names of functions and a module."""

    handler: str = "c2lst_client.rounds.handle:handle"  # of (home, request) -> answer
    check: str = "c2lst_shared.wire:parse_answer"  # raises ValueError for what is no answer
    # module and arguments; () = none
    worker: Sequence[str] = field(default=("c2lst_client.rounds.worker", "--home", "{home}", "--log-format", "{log_format}"))


def join(
    settings: Settings,
    report: Callable[[Event], None],
    stop: Callable[[], bool],
    *,
    parts: Parts | None = None,
    log_format: LogFormat = LogFormat.TEXT,
    metrics: MetricsPlace | None = None,
) -> None:
    """Run the site's processes until `stop()` is true, then end them.

    Args:
        settings: of the installation.
        report: hears of every start and end.
        stop: says when to end.
        parts: what answers and works.
        log_format: of what the processes log.
        metrics: where metrics are read; nowhere by default.

    Raises:
        BadInput: the site is not enrolled, its server has no encrypted address, or metrics cannot be served.
        Busy: another `join` runs in this home.
    """
    home = settings.folders
    enrolment = load_enrolment(home)
    home.federation.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(home.federation / ".lock", f"Another `c2lst-client join` runs in {home.path}; stop it first.", wait=0):
        services = site_services(settings, enrolment, parts or Parts(), log_format)
        key = _KeyFile(home)
        with Heartbeat(home.join_processes, [service.name for service in services]) as heartbeat:

            def heard(event: Event) -> None:
                report(event)
                heartbeat.hear(event)

            supervisor = Supervisor(services, heard)

            def meanwhile() -> None:
                heartbeat.beat()
                if key.changed():
                    supervisor.restart(NODE)

            with serving_site_metrics(metrics, home, lambda: supervisor.starts):
                supervisor.run(stop, meanwhile=meanwhile)


def site_services(
    settings: Settings, enrolment: Enrolment, parts: Parts, log_format: LogFormat = LogFormat.TEXT
) -> list[Service]:
    """Return the processes of a site, with the files that they need in place.

    Raises:
        BadInput: the server's address is not encrypted.
    """
    home = settings.folders
    folder = home.federation
    _KeyFile(home).write()
    secret = folder / "tasks.secret"
    take_secret(secret)
    runtime = f"127.0.0.1:{free_port()}"
    services = [
        _service(NODE, folder, settings, node_command(home, enrolment, runtime, secret, settings.proxy, log_format)),
        _service(
            APP,
            folder,
            settings,
            child.command(
                "c2lst_client.federation.app_process",
                *("--home", str(home.path), "--runtime", runtime, "--secret", str(secret)),
                *("--handler", parts.handler, "--check", parts.check, "--log-format", log_format.value),
            ),
        ),
    ]
    if parts.worker:
        arguments = [argument.format(home=home.path, log_format=log_format.value) for argument in parts.worker]
        services.append(_service(WORKER, folder, settings, child.command(*arguments)))
    return services


def node_command(
    home: Home,
    enrolment: Enrolment,
    runtime: str,
    secret: Path,
    proxy: str | None,
    log_format: LogFormat = LogFormat.TEXT,
) -> list[str]:
    """Return the command of the SuperNode.

    Raises:
        BadInput: the server's address is not encrypted: Flower proves who a node is over TLS only.
    """
    parts = urlsplit(enrolment.server)
    if parts.scheme != "https" or parts.path:
        raise BadInput(
            f"Rounds need an https:// address without a path, and {home.path} is enrolled at {enrolment.server}; ask the "
            "central operator for an enrolment file with one (docs/federation-transport.md)."
        )
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    server = f"{host}:{parts.port or HTTPS_PORT}"
    allowed = f"{server},{proxy}" if proxy else server
    command = [
        *child.command("c2lst_client.federation.node_process", allowed, str(home.contact), log_format.value),
        *("--superlink", server),
        *("--auth-supernode-private-key", str(_KeyFile(home).path)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(secret)),
        *("--host", "127.0.0.1", "--port", runtime.rpartition(":")[2]),
    ]
    if enrolment.ca_pem is not None:
        authority = home.federation / "ca.pem"
        atomic.write_text(authority, enrolment.ca_pem)
        command += ["--root-certificates", str(authority)]
    return command


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _service(name: str, folder: Path, settings: Settings, command: Sequence[str]) -> Service:
    environment = flower_environment(folder / name, proxy=settings.proxy)
    return Service(name, command, environment, folder / f"{name}.log")


class _KeyFile:
    """The site's own key in the format that Flower reads; kept in step with the key itself, which `rotate-key` replaces."""

    def __init__(self, home: Home) -> None:
        self._source = home.site_key
        self.path = home.federation / "node.key"
        self._seen = self._state()

    def changed(self) -> bool:
        """Whether the site's key was replaced since the last look; then it is written anew."""
        found = self._state()
        if found == self._seen:
            return False
        self._seen = found
        self.write()
        return True

    def write(self) -> None:
        """Write the key."""
        atomic.write_bytes(self.path, _open_ssh(take_key(self._source)), mode=0o600)

    def _state(self) -> tuple[int, int]:
        found = self._source.stat()
        return found.st_ino, found.st_mtime_ns


def _open_ssh(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
