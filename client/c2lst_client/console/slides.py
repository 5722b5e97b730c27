"""Slides: what is known of each, its galleries, and its report and study as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from c2lst_client import gallery
from c2lst_client.console.round_view import interval_words
from c2lst_client.console.site_console import Console, showing
from c2lst_client.sites import Site, open_site, site_names
from c2lst_client.slide_facts import read_facts
from c2lst_client.status import SiteStatus, site_status
from c2lst_shared import journal
from c2lst_shared.errors import BadInput, C2lstError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HERE = "/slides"
PER_PAGE = 12
MOST_SYNTHETIC = 7  # patches beside a real one
MOST_PAGE_BYTES = 64 << 20
# The pages that the client wrote: they have styles and pictures in themselves, and nothing else is allowed them.
STORED_PAGE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
KINDS: tuple[gallery.Kind, ...] = ("held-out", "pairs")


def routes() -> list[Route]:
    """Return the pages of slides."""
    return [
        showing("/slides", all_slides),
        showing("/slides/{name}", one_slide),
        showing("/slides/{name}/gallery/{kind}", show_gallery),
        showing("/slides/{name}/patches/{kind}/{number:int}.png", one_patch),
        showing("/slides/{name}/report", report),
        showing("/slides/{name}/study", study),
    ]


def all_slides(console: Console, request: Request) -> Response:
    """Show every slide and how far it is."""
    found: list[SiteStatus] = []
    troubles: list[str] = []
    for name in site_names(console.home):
        try:
            found.append(site_status(open_site(console.home, name)))
        except C2lstError as error:
            troubles.append(str(error))
    return console.page(
        request,
        "slides.html.j2",
        HERE,
        {
            "slides": found,
            "troubles": troubles,
        },
        live=True,
    )


def one_slide(console: Console, request: Request) -> Response:
    """Show what is known of a slide."""
    site = _site(console, request)
    facts = read_facts(site)
    try:
        entries = journal.read(site.folder).entries
    except (OSError, ValueError):
        entries = []
    return console.page(
        request,
        "slide.html.j2",
        HERE,
        {
            "site": site,
            "facts": facts,
            "standing": site_status(site),
            "journal": entries,
            "interval": interval_words,
        },
        live=True,
    )


def show_gallery(console: Console, request: Request) -> Response:
    """Show real patches beside the synthetic ones that belong to them."""
    site, kind = _site(console, request), _kind(request)
    rows, trouble, side = [], "", 0
    try:
        rows = gallery.read_rows(site, kind)
        side = gallery.side_px(site.spots)
    except BadInput:
        pass  # not made yet: the page says how
    except C2lstError as error:
        trouble = str(error)
    pages = max(1, -(-len(rows) // PER_PAGE))
    text = request.query_params.get("page", "0")
    page = min(int(text), pages - 1) if text.isascii() and text.isdecimal() and len(text) < 8 else 0
    address = f"{HERE}/{site.name}/gallery/{kind}"
    return console.page(
        request,
        "gallery.html.j2",
        HERE,
        {
            "site": site,
            "kind": kind,
            "kinds": KINDS,
            "rows": rows[page * PER_PAGE : (page + 1) * PER_PAGE],
            "most": MOST_SYNTHETIC,
            "side": max(96, min(160, side)),
            "total": len(rows),
            "page": page,
            "pages": pages,
            "earlier": f"{address}?page={page - 1}" if page else "",
            "later": f"{address}?page={page + 1}" if page + 1 < pages else "",
            "trouble": trouble,
        },
    )


def one_patch(console: Console, request: Request) -> Response:
    """Return one patch as PNG, made in memory."""
    from starlette.responses import Response

    site, kind = _site(console, request), request.path_params["kind"]
    if kind not in {*KINDS, "spots"}:
        raise HTTPException(404)
    try:
        content = gallery.patch_png(gallery.folder_of(site, kind), request.path_params["number"])
    except C2lstError:
        raise HTTPException(404) from None
    return Response(content, media_type="image/png")


def report(console: Console, request: Request) -> Response:
    """Return the slide's report as it was written."""
    return _stored(console, _site(console, request).report)


def study(console: Console, request: Request) -> Response:
    """Return the page of the slide's study as it was written."""
    return _stored(console, read_facts(_site(console, request)).study_page)


def _stored(console: Console, path: Path) -> Response:
    from starlette.responses import Response

    inside = path.resolve().is_relative_to(console.home.path.resolve())
    if not inside or not path.is_file():
        raise HTTPException(404)
    if path.stat().st_size > MOST_PAGE_BYTES:
        raise BadInput(f"{path} is too large to be shown here; open it in a browser from the disk.")
    return Response(path.read_bytes(), media_type="text/html; charset=utf-8", headers=STORED_PAGE)


def _site(console: Console, request: Request) -> Site:
    if request.path_params["name"] not in site_names(console.home):
        raise HTTPException(404)
    return open_site(console.home, request.path_params["name"])


def _kind(request: Request) -> gallery.Kind:
    found: dict[str, gallery.Kind] = {kind: kind for kind in KINDS}
    if request.path_params["kind"] not in found:
        raise HTTPException(404)
    return found[request.path_params["kind"]]
