"""How `join` starts a site's processes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from fakes.tls import new_authority

from c2lst_client.federation.join import APP, NODE, WORKER, Parts, site_services
from c2lst_client.settings import Settings
from c2lst_client.trust.identity import public_pem, take_key
from c2lst_client.trust.pinned import Enrolment
from c2lst_shared.errors import BadInput


def _enrolment(server: str, ca_pem: str | None = None) -> Enrolment:
    return Enrolment(
        site="a", server=server, root_sha256="0" * 64, ca_pem=ca_pem, key_fingerprint="0" * 64, enrolled=datetime.now(UTC)
    )


def _services(tmp_path: Path, server: str, ca_pem: str | None = None, proxy: str | None = None) -> dict[str, list[str]]:
    settings = Settings(home=tmp_path, proxy=proxy)
    take_key(settings.folders.site_key)
    services = site_services(settings, _enrolment(server, ca_pem), Parts())
    assert len({service.environment["FLWR_HOME"] for service in services}) == len(services), "each has a folder of its own"
    return {service.name: list(service.command) for service in services}


def test_site_runs_three_processes(tmp_path: Path) -> None:
    assert set(_services(tmp_path, "https://central.example.org")) == {NODE, APP, WORKER}


def test_supernode_shows_the_site_s_own_key_and_trusts_the_pinned_authority(tmp_path: Path) -> None:
    authority = new_authority().pem

    command = _services(tmp_path, "https://central.example.org", authority)[NODE]

    key = load_ssh_private_key(Path(command[command.index("--auth-supernode-private-key") + 1]).read_bytes(), None)
    assert public_pem(key) == public_pem(take_key(tmp_path / "identity" / "site.key"))  # type: ignore[arg-type]
    assert Path(command[command.index("--root-certificates") + 1]).read_text() == authority
    assert command[command.index("--superlink") + 1] == "central.example.org:443"
    assert "--insecure" not in command
    assert "--allow-runtime-dependency-installation" not in command


def test_runtime_of_the_supernode_is_on_this_machine_and_asks_for_a_secret(tmp_path: Path) -> None:
    command = _services(tmp_path, "https://127.0.0.1:8443")[NODE]

    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--isolation") + 1] == "process"
    secret = Path(command[command.index("--superexec-auth-secret-file") + 1])
    assert len(secret.read_bytes()) == 32
    assert secret.stat().st_mode & 0o077 == 0


def test_proxy_of_the_hospital_is_the_one_more_place_that_is_allowed(tmp_path: Path) -> None:
    direct = _services(tmp_path, "https://[2001:db8::1]")[NODE]
    proxied = _services(tmp_path, "https://central.example.org:8443", proxy="http://proxy.example:3128")[NODE]

    assert "[2001:db8::1]:443" in direct
    assert "central.example.org:8443,http://proxy.example:3128" in proxied


@pytest.mark.parametrize("server", ["http://127.0.0.1:8000", "http://central.example.org", "https://example.org/c2lst"])
def test_address_that_flower_cannot_prove_itself_at_is_refused(tmp_path: Path, server: str) -> None:
    with pytest.raises(BadInput, match="Rounds need an https"):
        _services(tmp_path, server)
