"""A site meets its server: once, with a file that was carried by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from pydantic import ValidationError
from tuf.api.metadata import Metadata, Root, Timestamp

from c2lst_client.audit import AuditLog
from c2lst_client.egress import Egress, HttpStatus
from c2lst_client.home import Home
from c2lst_client.trust.identity import key_fingerprint, public_pem, take_key
from c2lst_client.trust.pinned import Enrolment, load_enrolment, locked
from c2lst_client.trust.refusals import refusals
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.wire import EnrolmentFile, EnrolmentReply, EnrolmentRequest

MAX_FILE_BYTES = 2 << 20


def enrol(
    home: Home, enrolment_file: Path, *, fingerprint: str | None = None, offline: bool = False, proxy: str | None = None
) -> Enrolment:
    """Pin the server's root, make the site's key, and register its public half. Nothing else is sent.

    Args:
        home: the site's state folder.
        enrolment_file: what the central operator made with `c2lst-server sites add`.
        fingerprint: SHA-256 of the root as the operator says it by another way, to be compared with the file's.
        offline: send nothing; the server then does not know the site's key, and releases come in bundles.
        proxy: URL of a proxy to go through.

    Raises:
        BadInput: the site is enrolled already, the file cannot be read, or the server refuses its token.
        BadArtefact: the file's root or timestamp is not what it claims to be; nothing was sent.
        TransferFailed: the server cannot be reached; the same call tries again with the same key.
    """
    with locked(home):
        if home.enrolment.exists():
            known = load_enrolment(home)
            raise BadInput(f"{home.path} is enrolled already as {known.site} at {known.server}; use another --home.")
        file = _read_file(enrolment_file)
        _check_trust(file, fingerprint)
        key = take_key(home.site_key)  # that of an enrolment which did not get through: its token still works
        reply = _unregistered(file, key) if offline else _register(home, file, key, proxy)
        atomic.write_text(home.pinned_root, file.root)
        # Without it a first pull would accept a replay of any older timestamp.
        atomic.write_text(home.metadata / "timestamp.json", file.timestamp)
        enrolment = Enrolment(
            site=reply.site,
            server=file.server,
            root_sha256=file.root_sha256,
            ca_pem=file.ca_pem,
            key_fingerprint=reply.key_fingerprint,
            enrolled=reply.enrolled,
        )
        atomic.write_text(home.enrolment, enrolment.model_dump_json(indent=1))
    return enrolment


def _read_file(path: Path) -> EnrolmentFile:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{path} is too long for an enrolment file; ask the central operator for the right one.")
        return EnrolmentFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"The enrolment file {path} cannot be read: {error.strerror}; check the path.") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # the input may be the token
        where = ".".join(map(str, first["loc"])) or "URL or format"
        raise BadInput(f"{path} is not an enrolment file ({where}: {first['msg']}); ask the central operator.") from error


def _check_trust(file: EnrolmentFile, fingerprint: str | None) -> None:
    root_bytes = file.root.encode()
    if hashlib.sha256(root_bytes).hexdigest() != file.root_sha256:
        raise BadArtefact(
            "The root in the enrolment file does not have its fingerprint; ask the central operator for a new file."
        )
    if fingerprint is not None and fingerprint.replace(":", "").replace(" ", "").lower() != file.root_sha256:
        raise BadArtefact(
            f"The enrolment file is for a server with root {file.root_sha256}, not {fingerprint}; ask the central operator."
        )
    with refusals():
        root = Metadata[Root].from_bytes(root_bytes)
        timestamp = Metadata[Timestamp].from_bytes(file.timestamp.encode())
        if not isinstance(root.signed, Root) or not isinstance(timestamp.signed, Timestamp):
            raise BadArtefact("The enrolment file has no root and timestamp metadata; ask the central operator for a new file.")
        root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        root.signed.verify_delegate(Timestamp.type, timestamp.signed_bytes, timestamp.signatures)


def _register(home: Home, file: EnrolmentFile, key: EllipticCurvePrivateKey, proxy: str | None) -> EnrolmentReply:
    with Egress(file.server, AuditLog(home.audit_log), ca_pem=file.ca_pem, proxy=proxy) as egress:
        try:
            reply = egress.send(EnrolmentRequest(token=file.token, public_key_pem=public_pem(key)), EnrolmentReply)
        except HttpStatus as refusal:
            if refusal.status in {403, 422}:
                raise BadInput(str(refusal)) from refusal
            raise
    if reply.key_fingerprint != key_fingerprint(key) or reply.site != file.site:
        raise BadArtefact(f"{file.server} registered another key or name than this site's; tell the central operator.")
    return reply


def _unregistered(file: EnrolmentFile, key: EllipticCurvePrivateKey) -> EnrolmentReply:
    """What stands in the record of a site that has not spoken to its server."""
    return EnrolmentReply(site=file.site, enrolled=datetime.now(UTC), key_fingerprint=key_fingerprint(key))
