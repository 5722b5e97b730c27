"""A process that may speak to named places only: every other connection, name look-up or new program is refused.

This is a second lock behind Flower's own settings: it holds for what those settings do not cover (a redirect to another host, a
newer version that reports something else). It sees what Python code does; extension modules that open sockets by themselves
are not seen, and Flower's processes at a site use none.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def allow_only(servers: Iterable[str], *, programs: bool = False) -> None:
    """Refuse from now on, until the process ends, connections to anything but `servers` and this machine itself.

    Args:
        servers: URLs or host:port.
        programs: whether other programs may be started.
    """
    allowed = [_host_port(server) for server in servers]
    hosts = {host for host, _ in allowed}
    looking_up = False

    def addresses() -> set[tuple[str, int]]:
        nonlocal looking_up
        looking_up = True
        try:
            return {
                (str(found[4][0]), port)
                for host, port in allowed
                for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            }
        except OSError:
            return set()
        finally:
            looking_up = False

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            place = arguments[1]
            if isinstance(place, tuple) and not _is_here(str(place[0])) and tuple(place[:2]) not in addresses():
                raise ConnectionRefusedError(f"{place[0]} is not a place that this process may speak to.")
        elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"} and not looking_up:
            name = _text(arguments[0])
            if name and name not in hosts and not _is_here(name):
                raise ConnectionRefusedError(f"{name} is not a name that this process may look up.")
        elif event in {"socket.sendto", "socket.sendmsg"}:
            place = arguments[1]
            if isinstance(place, tuple) and not _is_here(str(place[0])):
                raise ConnectionRefusedError(f"{place[0]} is not a place that this process may speak to.")
        elif event in _PROGRAMS and not programs:
            raise PermissionError("This process may not start programs.")

    sys.addaudithook(check)


def _host_port(server: str) -> tuple[str, int]:
    parts = urlsplit(server if "//" in server else f"//{server}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _text(name: object) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name or "")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host in {"localhost", socket.gethostname()}
