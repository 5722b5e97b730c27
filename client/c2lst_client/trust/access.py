"""The site shows the server who it is, and asks for what only sites may ask for."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from pydantic import SecretStr

from c2lst_client.egress import Egress, HttpStatus
from c2lst_client.home import Home
from c2lst_client.trust.identity import key_fingerprint, public_pem, sign_assertion, take_key
from c2lst_client.trust.pinned import Enrolment, load_enrolment, locked, open_egress
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.wire import AccessToken, KeyRotation, LinkReply, SiteReply, TokenRequest

OWN_SITE = "/api/v1/sites/me"
OWN_LINK = "/api/v1/sites/me/link"
UNAUTHORISED = 401


def get_token(egress: Egress, home: Home, enrolment: Enrolment) -> SecretStr:
    """Return an access token for the site's key.

    Raises:
        BadInput: the server does not know the key, or the site is suspended or was removed.
        TransferFailed: no usable answer came.
    """
    return _token(egress, enrolment, take_key(home.site_key))


def ask_who_we_are(egress: Egress, home: Home, enrolment: Enrolment) -> SiteReply:
    """Return how the server knows this site.

    Raises:
        BadInput, TransferFailed: as `get_token`.
    """
    return egress.ask(OWN_SITE, SiteReply, token=get_token(egress, home, enrolment))


def ask_how_linked(egress: Egress, home: Home, enrolment: Enrolment) -> LinkReply:
    """Return how the centre sees this site's node.

    Raises:
        BadInput, TransferFailed: as `get_token`.
    """
    return egress.ask(OWN_LINK, LinkReply, token=get_token(egress, home, enrolment))


def rotate_key(home: Home, *, proxy: str | None = None) -> Enrolment:
    """Make a new key for this site and put it in the place of the old one, here and at the server.

    A rotation whose answer was lost on the way is finished by the next one.

    Raises:
        BadInput: the site is not enrolled, or the server does not know it any more; the old key stays.
        TransferFailed: no usable answer came; the same call goes on.
    """
    with locked(home):
        enrolment = load_enrolment(home)
        begun = home.next_site_key.exists()
        new = take_key(home.next_site_key)
        with open_egress(home, enrolment, proxy) as egress:
            try:
                known = _exchange(egress, home, enrolment, new)
            except BadInput:
                if not begun:
                    home.next_site_key.unlink()
                    raise
                _token(egress, enrolment, new)  # the server knows the new key already, or refuses this one too
                known = key_fingerprint(new)
        if known != key_fingerprint(new):
            raise BadArtefact(f"{enrolment.server} registered another key than this site's; tell the central operator.")
        home.next_site_key.replace(home.site_key)
        enrolment = enrolment.model_copy(update={"key_fingerprint": known})
        atomic.write_text(home.enrolment, enrolment.model_dump_json(indent=1))
    return enrolment


def _exchange(egress: Egress, home: Home, enrolment: Enrolment, new: EllipticCurvePrivateKey) -> str:
    """Tell the server the new key, as the owner of the old one; return the fingerprint that it then knows."""
    token = get_token(egress, home, enrolment)
    proof = sign_assertion(new, enrolment.site, enrolment.server)
    message = KeyRotation(public_key_pem=public_pem(new), proof=proof)
    return egress.send(message, SiteReply, token=token).key_fingerprint


def _token(egress: Egress, enrolment: Enrolment, key: EllipticCurvePrivateKey) -> SecretStr:
    request = TokenRequest(client_assertion=sign_assertion(key, enrolment.site, enrolment.server))
    try:
        return egress.send(request, AccessToken).access_token
    except HttpStatus as refusal:
        if refusal.status == UNAUTHORISED:
            raise BadInput(
                f"{enrolment.server} does not take {enrolment.site} for an active site ({refusal}); ask the central operator."
            ) from refusal
        raise
