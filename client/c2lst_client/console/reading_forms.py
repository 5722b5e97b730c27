"""Forms of the console: short, and only from pages that the session was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from c2lst_shared.errors import BadInput
from c2lst_shared.web.forms import check_form, check_origin

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_BYTES = 32_768
MOST_FIELDS = 200
TYPE = "application/x-www-form-urlencoded"


class Form:
    """The fields that a browser sent; a field that it left out is empty."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return the first value of a field."""
        return self._fields.get(name, [""])[0].strip()

    def texts(self, name: str) -> list[str]:
        """Return all values of a field, of ticked boxes for example."""
        return self._fields.get(name, [])


async def read_form(request: Request) -> Form:
    """Return the form of a page that this session was shown.

    Raises:
        Forged: it did not come from such a page.
        BadInput: it is no form, or too long.
    """
    form = await _read(request)
    check_form(request, request.state.session.identifier, form.text("csrf"))
    return form


async def read_strangers_form(request: Request) -> Form:
    """Return the form of somebody who is not signed in yet.

    Raises:
        Forged: it comes from another site.
        BadInput: it is no form, or too long.
    """
    check_origin(request)
    return await _read(request)


async def _read(request: Request) -> Form:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise BadInput("This is not a form of the console; load the page again.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise BadInput(f"A form of the console has at most {MOST_BYTES} bytes; shorten it.")
    try:
        return Form(parse_qs(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise BadInput("The form cannot be read; load the page again.") from None
