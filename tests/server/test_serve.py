"""What is served cannot be read on the way unless the operator says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from c2lst_server.serve import Listener, check_listener
from c2lst_shared.errors import BadInput


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_plain_http_stays_on_this_machine(host: str) -> None:
    check_listener(Listener(host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "central.example.org"])
def test_plain_http_to_others_is_refused_unless_asked_for(host: str) -> None:
    with pytest.raises(BadInput, match="Others could read plain HTTP"):
        check_listener(Listener(host))
    check_listener(Listener(host, insecure_http=True))


def test_tls_needs_both_files(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    with pytest.raises(BadInput, match="needs both files"):
        check_listener(Listener("0.0.0.0", tls_cert=cert))
    with pytest.raises(BadInput, match=r"There is no file .*key.pem"):
        check_listener(Listener("0.0.0.0", tls_cert=cert, tls_key=key))
    key.touch()
    check_listener(Listener("0.0.0.0", tls_cert=cert, tls_key=key))
