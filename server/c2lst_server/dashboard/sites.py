"""Pages about sites: invite, see, suspend, resume and remove them."""

from __future__ import annotations

import tempfile
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import Response

from c2lst_server.actions import list_actions
from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.overview import LinksDep
from c2lst_server.dashboard.site_rows import site_rows
from c2lst_server.dashboard.viewer import PageRoute, sender_with, viewer_with
from c2lst_server.db.models import INVITED
from c2lst_server.deps import HomeDep, SessionDep
from c2lst_server.home import Home
from c2lst_server.publishing.initialise import root_fingerprint
from c2lst_server.rounds import store as rounds
from c2lst_server.sites import registry
from c2lst_shared.errors import BadInput

router = APIRouter(prefix=pages.SITES.address, route_class=PageRoute, include_in_schema=False)

PAGE = 50
MOST_INVITED = 20  # that the form lists
Reader = Annotated[AdministratorRecord, Depends(viewer_with(Scope.READ_SITES))]
Writer = Annotated[AdministratorRecord, Depends(viewer_with(Scope.WRITE_SITES))]
Sender = Annotated[AdministratorRecord, Depends(sender_with(Scope.WRITE_SITES))]
Name = Annotated[str, Path(max_length=32)]


@router.get("")
def list_sites(
    request: Request,
    session: SessionDep,
    links: LinksDep,
    viewer: Reader,
    after: Annotated[str, Query(max_length=32)] = "",
) -> Response:
    """List sites by name."""
    found = registry.list_sites(session, limit=PAGE + 1, after=after)
    return pages.show(
        request,
        viewer,
        pages.SITES,
        "sites.html.j2",
        live=True,
        rows=site_rows(session, found[:PAGE], links.online),
        superlink=links.online is not None,
        first=not after,
        after=f"?after={found[PAGE - 1].name}" if len(found) > PAGE else "",
    )


@router.get("/enrol")
def show_form(
    request: Request, session: SessionDep, home: HomeDep, viewer: Writer, name: Annotated[str, Query(max_length=32)] = ""
) -> Response:
    """Show the form that makes an enrolment file."""
    return _form(request, session, home, viewer, {"name": name, "url": str(request.base_url).rstrip("/"), "ca": ""})


@router.post("/enrol")
def invite_site(
    request: Request,
    session: SessionDep,
    home: HomeDep,
    viewer: Sender,
    name: Annotated[str, Form(max_length=100)] = "",
    url: Annotated[str, Form(max_length=500)] = "",
    ca: Annotated[str, Form(max_length=50_000)] = "",
) -> Response:
    """Give the one-time file of a new site as a download; nothing of it is kept but a digest."""
    given = {"name": name.strip(), "url": url.strip(), "ca": ca.strip()}
    try:
        certificates = _certificates(given["ca"])
        with tempfile.TemporaryDirectory(prefix="c2lst-enrol-") as folder:
            out = FilePath(folder) / "enrolment.json"
            registry.invite(session, home, given["name"], registry.Address(given["url"], certificates), out=out)
            content = out.read_bytes()
    except BadInput as error:
        return _form(request, session, home, viewer, given, str(error))
    return Response(
        content,
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{given["name"]}.json"', "Cache-Control": "no-store"},
    )


@router.get("/{name}")
def show_site(request: Request, session: SessionDep, links: LinksDep, viewer: Reader, name: Name) -> Response:
    """Show one site, and the rounds that it was asked for."""
    (row,) = site_rows(session, [registry.show(session, name)], links.online)
    return pages.show(
        request,
        viewer,
        pages.SITES,
        "site.html.j2",
        live=True,
        row=row,
        rounds=rounds.rounds_of_site(session, name, limit=10) if Scope.READ_ROUNDS in viewer.scopes else None,
        actions=list_actions(session, limit=10, subject=name) if Scope.READ_ACTIONS in viewer.scopes else None,
    )


@router.get("/{name}/remove")
def confirm_removal(request: Request, session: SessionDep, viewer: Writer, name: Name) -> Response:
    """Ask before a site is removed."""
    return pages.show(request, viewer, pages.SITES, "site_remove.html.j2", site=registry.show(session, name))


@router.post("/{name}/suspend")
def suspend_site(request: Request, session: SessionDep, viewer: Sender, name: Name) -> Response:
    """Stop dealing with a site."""
    registry.suspend(session, name)
    return pages.done(request, f"{pages.SITES.address}/{name}", f"Site {name} is suspended; its tokens are void.")


@router.post("/{name}/resume")
def resume_site(request: Request, session: SessionDep, viewer: Sender, name: Name) -> Response:
    """Deal with a site again."""
    state = registry.resume(session, name).state
    return pages.done(request, f"{pages.SITES.address}/{name}", f"Site {name} is {state} again.")


@router.post("/{name}/remove")
def remove_site(request: Request, session: SessionDep, viewer: Sender, name: Name) -> Response:
    """Forget a site."""
    registry.remove(session, name)
    return pages.done(request, pages.SITES.address, f"Site {name} is removed; what it pulled stays with it.")


def _certificates(text: str) -> str | None:
    """Return the certificate authority that was pasted, None when none was.

    Raises:
        BadInput: it is something else.
    """
    found = registry.pick_certificates(text)
    if text and not found:
        raise BadInput("The certificate authority holds no certificate; paste a PEM file, or leave the field empty.")
    return found or None


def _form(
    request: Request,
    session: SessionDep,
    home: Home,
    viewer: AdministratorRecord,
    given: dict[str, str],
    refusal: str = "",
) -> Response:
    invited = [each for each in registry.list_sites(session) if each.state == INVITED][:MOST_INVITED]
    return pages.show(
        request,
        viewer,
        pages.SITES,
        "site_enrol.html.j2",
        status=422 if refusal else 200,
        live=True,
        given=given,
        refusal=refusal,
        fingerprint=root_fingerprint(home),
        invited=site_rows(session, invited, None),
    )
