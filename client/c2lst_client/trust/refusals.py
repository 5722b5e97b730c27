"""python-tuf's exceptions become ours, here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from securesystemslib.exceptions import Error as SigningError
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.serialization import DeserializationError

from c2lst_shared.errors import BadArtefact, C2lstError, TransferFailed

# The most specific first. The braces get python-tuf's own words, which name the file.
_TELL = "do not use it, and tell the central operator."
SENTENCES: tuple[tuple[type[Exception], type[C2lstError], str], ...] = (
    (
        ExpiredMetadataError,
        BadArtefact,
        "The server's signed metadata is out of date ({}): an old copy is being replayed, the server has not signed again, or "
        "this machine's clock is wrong; check the clock, then ask the central operator.",
    ),
    (BadVersionNumberError, BadArtefact, "The server's metadata is older than what this site has seen ({}); " + _TELL),
    (UnsignedMetadataError, BadArtefact, "The metadata is not signed by the keys pinned at enrolment ({}); " + _TELL),
    (LengthOrHashMismatchError, BadArtefact, "A file is not the one that was signed ({}); " + _TELL),
    (DownloadLengthMismatchError, BadArtefact, "A file is longer than it may be ({}); " + _TELL),
    (DeserializationError, BadArtefact, "The metadata cannot be read ({}); " + _TELL),
    (RepositoryError, BadArtefact, "The metadata is not consistent ({}); " + _TELL),
    (SigningError, BadArtefact, "A signature cannot be checked ({}); " + _TELL),
    (DownloadError, TransferFailed, "A download failed ({}); run again, nothing is lost."),
)


@contextmanager
def refusals() -> Iterator[None]:
    """Raise our own errors for whatever python-tuf refuses in the body.

    Raises:
        BadArtefact: what was received is not what was signed.
        TransferFailed: it could not be received.
    """
    try:
        yield
    except (RepositoryError, DownloadError, SigningError) as error:
        for kind, ours, sentence in SENTENCES:
            if isinstance(error, kind):
                raise ours(sentence.format(error)) from error
        raise
