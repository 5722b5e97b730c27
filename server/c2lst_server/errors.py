"""Mistakes of a caller that the HTTP side must tell apart, because each has its own status code."""

from __future__ import annotations

from c2lst_shared.errors import BadInput


class NotThere(BadInput):
    """What was asked for does not exist (404)."""


class Refused(BadInput):
    """The caller may not do this (403)."""
