"""The proxy's configuration: what it opens, and that nothing else can be written into it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from fakes.federation import find_nginx
from fakes.tls import new_authority, server_files
from flwr.superlink.routers.fleet.router import router

from c2lst_server.federation.link import Link
from c2lst_server.federation.nginx import FLEET, Proxy, configuration, container_configuration, write_configuration
from c2lst_shared.errors import BadInput


def _proxy(folder: Path, **changes: object) -> Proxy:
    cert, key = server_files(new_authority(), folder)
    given = {
        "server_name": "central.example.org",
        "port": 443,
        "tls_cert": cert,
        "tls_key": key,
        "api": "127.0.0.1:8000",
        "superlink": "127.0.0.1:9092",
        "superlink_certificate": Link(folder).certificate,
    }
    return Proxy(**{**given, **changes})  # type: ignore[arg-type]


def test_every_fleet_path_but_those_that_make_a_node_known_is_open() -> None:
    offered = {route.path.removeprefix("/v1/fleet/") for route in router.routes}

    assert offered - set(FLEET) == {"register-node", "unregister-node"}
    assert set(FLEET) <= offered


def test_superlink_is_named_once_with_a_path_that_no_caller_writes(tmp_path: Path) -> None:
    text = configuration(_proxy(tmp_path))

    assert re.findall(r"proxy_pass (\S+);", text) == ["https://c2lst_superlink/v1/fleet/$fleet", "http://c2lst_api"]
    assert "proxy_ssl_verify on" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"server_name": "a; return 200"},
        {"server_name": "a b"},
        {"server_name": "$host"},
        {"api": "127.0.0.1:80; include /etc/passwd"},
        {"api": "127.0.0.1"},
        {"superlink": "superlink"},
        {"tls_cert": Path("/tmp/a b.pem")},
        {"tls_key": Path("/tmp/a;b.pem")},
    ],
)
def test_word_that_is_more_than_a_word_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        configuration(_proxy(tmp_path, **changes))


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        write_configuration(tmp_path / "out", _proxy(tmp_path, tls_cert=tmp_path / "none.pem"), whole=True)


def test_nginx_takes_it(tmp_path: Path) -> None:
    nginx = find_nginx()
    if nginx is None:
        pytest.skip("nginx is not installed; `make test-federation` insists on it")
    out = tmp_path / "nginx.conf"
    Link(tmp_path).renew_certificate()
    write_configuration(out, _proxy(tmp_path, port=8443), whole=True)

    tested = subprocess.run([nginx, "-t", "-q", "-c", str(out)], capture_output=True, text=True, check=False)

    assert tested.returncode == 0, tested.stderr


def test_configuration_of_the_proxys_image_is_that_of_the_code() -> None:
    """After a change: `python -c "from c2lst_server.federation.nginx import *; print(container_configuration(), end='')"`."""
    stored = Path(__file__).parents[2] / "docker" / "nginx.conf"
    assert stored.read_text() == container_configuration()
