"""Cookies that no script reads and no other site sends; over HTTPS also such that no neighbouring host can set them.

Browsers keep cookies by host, whatever the port. On this machine itself, where a dashboard and a console may stand side by
side, a cookie's name therefore has its service's port: signing in to one does not sign out of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst_shared.wire import is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def is_encrypted(request: Request) -> bool:
    """Say whether cookies are to be kept to HTTPS: everywhere but at this machine itself."""
    return request.url.scheme == "https" or not is_loopback(request.url.hostname or "")


def cookie_name(request: Request, name: str) -> str:
    """Return the full name of a cookie: `__Host-` makes browsers insist on HTTPS, this host alone, and all of its paths."""
    return f"__Host-{name}" if is_encrypted(request) else f"{name}-{request.url.port or 80}"


def set_cookie(request: Request, response: Response, name: str, value: str, *, seconds: int) -> None:
    """Give the browser a cookie for some time; 0 seconds takes it away."""
    response.set_cookie(
        cookie_name(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=is_encrypted(request),
        httponly=True,
        samesite="strict",
    )
