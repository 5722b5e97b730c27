"""The configuration of the reverse proxy: one public port, encrypted, that leads to the API and to a few paths of SuperLink."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from c2lst_server.federation.link import NAME
from c2lst_shared import atomic
from c2lst_shared.errors import BadInput

# What a SuperNode with a registered key asks for (flwr 1.41, superlink/routers/fleet/router.py). Left out: register-node and
# unregister-node, by which a node without a registered key would make itself known.
FLEET = (
    "activate-node",
    "confirm-message-received",
    "deactivate-node",
    "get-fab",
    "get-run",
    "pull-messages",
    "pull-object",
    "push-messages",
    "push-object",
    "send-node-heartbeat",
)
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]|_")
_PLACE = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")


@dataclass(frozen=True)
class Proxy:
    """The public side."""

    server_name: str
    port: int
    tls_cert: Path
    tls_key: Path
    api: str  # host:port of the FastAPI service
    superlink: str  # host:port of SuperLink
    superlink_certificate: Path  # with which SuperLink proves itself to the proxy


_SERVERS = """\
# Written by `c2lst-server proxy-config`; write it again rather than change it.

upstream c2lst_api {{
    server {api};
    keepalive 16;
}}

upstream c2lst_superlink {{
    server {superlink};
    keepalive 64;
}}

server {{
    listen {port} ssl;
    server_name {server_name};

    ssl_certificate {tls_cert};
    ssl_certificate_key {tls_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    server_tokens off;
    absolute_redirect off;

    client_max_body_size 64k;      # of the API; its own limit is the same
    client_header_timeout 20s;
    client_body_timeout 30s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;  # with the port: the dashboard compares it with where a form comes from
    proxy_set_header X-Forwarded-For $remote_addr;  # replaced: what a caller claims is not passed on
    proxy_set_header X-Forwarded-Proto https;

    # Flower's sites: these paths, by POST, and no other path of SuperLink. The path that is passed on is written here, so that
    # no spelling of it can lead anywhere else.
    location ~ ^/v1/fleet/(?<fleet>{fleet})$ {{
        limit_except POST {{ deny all; }}
        client_max_body_size 1m;
        proxy_pass https://c2lst_superlink/v1/fleet/$fleet;
        proxy_ssl_trusted_certificate {certificate};
        proxy_ssl_verify on;
        proxy_ssl_name {name};
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_read_timeout 60s;
        access_log off;            # a line every three seconds and site
    }}

    location /v1/ {{
        return 404;
    }}

    location / {{
        proxy_pass http://c2lst_api;
        proxy_buffering off;       # releases are large, and sites read as fast as they can
    }}
}}
"""
_WHOLE = """\
worker_processes auto;
pid {folder}/nginx.pid;
error_log {error_log};

events {{
    worker_connections 4096;
}}

http {{
    access_log {access_log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;

{servers}}}
"""


def configuration(proxy: Proxy) -> str:
    """Return the part of an nginx configuration that belongs into `http`.

    Raises:
        BadInput: a name or path would not stand as one word in it.
    """
    words = {
        "server_name": proxy.server_name,
        "api": proxy.api,
        "superlink": proxy.superlink,
        "tls_cert": str(proxy.tls_cert),
        "tls_key": str(proxy.tls_key),
        "certificate": str(proxy.superlink_certificate),
    }
    for name, word in words.items():
        if re.search(r"[\s;{}\"'\\$#]", word):
            raise BadInput(f"The {name} {word!r} cannot stand in an nginx configuration; use one without blanks and signs.")
    if not _HOST.fullmatch(proxy.server_name):
        raise BadInput(f"{proxy.server_name!r} is no host name; pass --server-name.")
    for option, place in (("--api", proxy.api), ("--superlink", proxy.superlink)):
        if not _PLACE.fullmatch(place):
            raise BadInput(f"{place!r} is no host:port; pass {option}.")
    return _SERVERS.format(port=proxy.port, name=NAME, fleet="|".join(FLEET), **words)


def whole_configuration(proxy: Proxy, folder: Path, *, error_log: str, access_log: str) -> str:
    """Return a configuration that nginx can be started with alone; it writes into `folder` and to the logs.

    Raises:
        BadInput: as `configuration`.
    """
    servers = "".join(f"    {line}".rstrip() + "\n" for line in configuration(proxy).splitlines())
    return _WHOLE.format(folder=folder, servers=servers, error_log=error_log, access_log=access_log)


def container_configuration() -> str:
    """Return the configuration of the proxy's image: `docker/nginx.conf`, for the services of docker-compose.yml."""
    secrets = Path("/run/secrets")
    proxy = Proxy(
        server_name="_",
        port=8443,
        tls_cert=secrets / "tls_cert",
        tls_key=secrets / "tls_key",
        api="server:8000",
        superlink="superlink:9092",
        superlink_certificate=Path("/run/superlink/certificate.pem"),
    )
    return whole_configuration(proxy, Path("/tmp"), error_log="/dev/stderr", access_log="/dev/stdout")  # noqa: S108  # of the container


def write_configuration(out: Path, proxy: Proxy, *, whole: bool) -> None:
    """Write the configuration to `out`; `whole` makes it one that nginx can be started with alone.

    Raises:
        BadInput: as `configuration`, or a TLS file is missing.
    """
    for path in (proxy.tls_cert, proxy.tls_key):
        if not path.is_file():
            raise BadInput(f"There is no file {path}; pass PEM files to --tls-cert and --tls-key.")
    folder = out.resolve().parent
    logs = {"error_log": f"{folder}/error.log", "access_log": f"{folder}/access.log"}
    atomic.write_text(out, whole_configuration(proxy, folder, **logs) if whole else configuration(proxy))
