"""Style, script and icon of the pages, each at an address that holds its digest: browsers may keep it for a year."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

TOKENS = "tokens.css"
PARTS: Mapping[str, tuple[str, ...]] = {  # name under which it is served -> the files that it is made of
    "style.css": (TOKENS, "components.css"),
    "page.js": ("page.js",),
    "icon.svg": ("icon.svg",),
}
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"
DIGITS = 16  # of the digest, in an address


@cache
def read_text(name: str) -> str:
    """Return the text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Assets:
    """The files, below an address such as `/dashboard/assets`."""

    prefix: str

    def url(self, name: str) -> str:
        """Return the address of the file that is served as `name`."""
        return f"{self.prefix}/{_digest(name)}/{name}"

    def route(self) -> Route:
        """Return the route that serves them; nothing but the files of today is found."""
        from starlette.routing import Route

        return Route(f"{self.prefix}/{{digest}}/{{name}}", self._serve, methods=["GET"], include_in_schema=False)

    async def _serve(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        name = request.path_params["name"]
        if name not in PARTS or request.path_params["digest"] != _digest(name):
            return PlainTextResponse("There is no such file; load the page again.", status_code=404)
        media_type = MEDIA_TYPES[name.rpartition(".")[2]]
        return Response(_content(name), media_type=media_type, headers={"Cache-Control": FOREVER})


@cache
def _content(name: str) -> bytes:
    return "\n".join(read_text(part) for part in PARTS[name]).encode()


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(_content(name)).hexdigest()[:DIGITS]
