"""Every way in which python-tuf refuses has our own error and a sentence that says what to do."""

from __future__ import annotations

import pytest
from securesystemslib import exceptions as signing
from tuf.api import exceptions
from tuf.api.serialization import DeserializationError

from c2lst_client.trust.refusals import SENTENCES, refusals
from c2lst_shared.errors import BadArtefact, TransferFailed

ALL = [
    thing
    for module in (exceptions, signing)
    for thing in vars(module).values()
    if isinstance(thing, type) and issubclass(thing, Exception) and thing is not signing.KeyMismatchError
]


def test_every_error_of_the_tuf_library_is_translated() -> None:
    """KeyMismatchError is raised while signing only."""
    assert len(ALL) > 12
    assert [error for error in ALL if not issubclass(error, tuple(kind for kind, _, _ in SENTENCES))] == []


@pytest.mark.parametrize(
    ("error", "ours", "message"),
    [
        (exceptions.ExpiredMetadataError("timestamp.json is expired"), BadArtefact, "out of date .timestamp.json is expired"),
        (exceptions.EqualVersionNumberError("v1"), BadArtefact, "older than what this site has seen"),
        (exceptions.UnsignedMetadataError("0/1 keys"), BadArtefact, "not signed by the keys pinned at enrolment .0/1 keys"),
        (exceptions.LengthOrHashMismatchError("sha256"), BadArtefact, "not the one that was signed"),
        (exceptions.DownloadLengthMismatchError("5 MB"), BadArtefact, "longer than it may be"),
        (DeserializationError("JSON"), BadArtefact, "cannot be read"),
        (exceptions.RepositoryError("role missing"), BadArtefact, "not consistent"),
        (signing.UnverifiedSignatureError("key"), BadArtefact, "signature cannot be checked"),
        (exceptions.DownloadHTTPError("answered 502", 502), TransferFailed, "download failed .answered 502.; run again"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_gets_its_own_sentence(error: Exception, ours: type[Exception], message: str) -> None:
    with pytest.raises(ours, match=message) as raised, refusals():
        raise error
    assert raised.value.__cause__ is error
