"""Only the certificate authority that was pinned at enrolment vouches for the server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.central import Central, serving
from fakes.tls import new_authority, server_files

from c2lst_client.home import Home
from c2lst_client.trust.enrol import enrol
from c2lst_client.trust.pull import pull
from c2lst_shared.errors import TransferFailed


def test_server_of_the_pinned_authority_is_accepted(template: Central, home: Home, tmp_path: Path) -> None:
    authority, central = new_authority(), template.copy(tmp_path / "central")
    with serving(central, tls=server_files(authority, tmp_path)):
        enrolment = enrol(home, central.invite(tmp_path / "file.json", ca_pem=authority.pem))
        assert enrolment.server.startswith("https://")
        assert pull(home, "mob").downloaded
    central.engine.dispose()


@pytest.mark.parametrize("pinned", [True, False], ids=["other authority", "authorities of the system"])
def test_server_of_another_authority_gets_no_token(template: Central, home: Home, tmp_path: Path, pinned: bool) -> None:
    central = template.copy(tmp_path / "central")
    with serving(central, tls=server_files(new_authority(), tmp_path)):
        file = central.invite(tmp_path / "file.json", ca_pem=new_authority().pem if pinned else None)
        with pytest.raises(TransferFailed, match=r"is not one that this site accepts .*CERTIFICATE_VERIFY_FAILED"):
            enrol(home, file)
    central.engine.dispose()
    assert not home.enrolment.exists()
    assert json.loads(home.audit_log.read_text())["bytes_out"] == 0
