"""A site asks with its key, changes it, and is told when the centre does not want it any more."""

from __future__ import annotations

import stat

import pytest
from fakes.central import Central

from c2lst_client.egress import Egress
from c2lst_client.home import Home
from c2lst_client.trust.access import ask_who_we_are, rotate_key
from c2lst_client.trust.pinned import load_enrolment, open_egress
from c2lst_server.sites.registry import list_sites, suspend
from c2lst_shared.errors import BadInput, TransferFailed
from c2lst_shared.wire import SiteReply, WireMessage


def known_as(home: Home) -> SiteReply:
    enrolment = load_enrolment(home)
    with open_egress(home, enrolment) as egress:
        return ask_who_we_are(egress, home, enrolment)


def fingerprint_at(central: Central) -> str | None:
    with central.session() as session:
        return list_sites(session)[0].key_fingerprint


def test_site_is_known_by_its_key(central: Central, enrolled: Home) -> None:
    known = known_as(enrolled)
    assert (known.site, known.state, known.key_fingerprint) == ("hospital-a", "active", fingerprint_at(central))


def test_log_shows_neither_assertion_nor_token(central: Central, enrolled: Home) -> None:
    known_as(enrolled)
    log = enrolled.audit_log.read_text()
    assert '"client_assertion":"**********"' in log.replace(" ", "")
    assert "eyJ" not in log  # with which every signed assertion begins
    assert "Bearer" not in log


def test_suspended_site_is_told_so(central: Central, enrolled: Home) -> None:
    with central.session() as session:
        suspend(session, "hospital-a")
    with pytest.raises(BadInput, match=r"does not take hospital-a for an active site .*; ask the central operator"):
        known_as(enrolled)


def test_new_key_is_made_here_and_known_there(central: Central, enrolled: Home) -> None:
    before = enrolled.site_key.read_bytes()
    enrolment = rotate_key(enrolled)
    assert enrolled.site_key.read_bytes() != before
    assert stat.S_IMODE(enrolled.site_key.stat().st_mode) == 0o600
    assert not enrolled.next_site_key.exists()
    assert fingerprint_at(central) == enrolment.key_fingerprint == load_enrolment(enrolled).key_fingerprint
    assert known_as(enrolled).key_fingerprint == enrolment.key_fingerprint


def test_rotation_whose_answer_was_lost_is_finished_by_the_next(
    central: Central, enrolled: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_and_lose(self: Egress, message: WireMessage, reply: type[SiteReply], **more: object) -> SiteReply:
        answer = send(self, message, reply, **more)  # type: ignore[arg-type]
        if reply is SiteReply:
            raise TransferFailed("cut off")
        return answer

    send = Egress.send
    with monkeypatch.context() as patched:
        patched.setattr(Egress, "send", send_and_lose)
        with pytest.raises(TransferFailed, match="cut off"):
            rotate_key(enrolled)
    assert enrolled.next_site_key.exists()
    assert rotate_key(enrolled).key_fingerprint == fingerprint_at(central) == known_as(enrolled).key_fingerprint


def test_suspended_site_keeps_its_key(central: Central, enrolled: Home) -> None:
    before = enrolled.site_key.read_bytes()
    with central.session() as session:
        suspend(session, "hospital-a")
    with pytest.raises(BadInput, match="active site"):
        rotate_key(enrolled)
    assert enrolled.site_key.read_bytes() == before
    assert not enrolled.next_site_key.exists()
