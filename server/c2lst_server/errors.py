"""Mistakes of a caller that the HTTP side must tell apart, because each has its own status code."""

from __future__ import annotations

from c2lst_shared.errors import BadInput


class NotThere(BadInput):
    """What was asked for does not exist (404)."""


class Refused(BadInput):
    """The caller may not do this (403)."""


class Unauthorised(BadInput):
    """The caller does not show that it is somebody who may ask (401)."""


class TooMany(BadInput):
    """The caller asks too often (429)."""

    def __init__(self, message: str, wait: int) -> None:
        super().__init__(message)
        self.wait = wait  # seconds until it may ask again
