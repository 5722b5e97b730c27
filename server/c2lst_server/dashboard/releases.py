"""Pages about releases: what sites are offered, who signed it and until when, and how to take one back."""

from __future__ import annotations

import shlex
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from c2lst_server.actions import list_actions
from c2lst_server.administrators import Scope
from c2lst_server.dashboard import pages, release_rows
from c2lst_server.dashboard.viewer import PageRoute, ViewerDep
from c2lst_server.deps import HomeDep, SessionDep
from c2lst_server.publishing.catalogue import read_manifest, signed_targets
from c2lst_server.publishing.roles import role_states
from c2lst_shared.release.withdrawal import withdrawals

router = APIRouter(prefix=pages.RELEASES.address, route_class=PageRoute, include_in_schema=False)

Organ = Annotated[str, Path(max_length=32)]
Number = Annotated[int, Path(ge=1, le=10**9)]
EXAMPLE_REASON = "stain artefacts in the corpus"


@router.get("")
def list_releases(request: Request, session: SessionDep, home: HomeDep, viewer: ViewerDep) -> Response:
    """Show releases by organ, and how the roles that sign them stand."""
    return pages.show(
        request,
        viewer,
        pages.RELEASES,
        "releases.html.j2",
        live=True,
        organs=release_rows.organ_rows(home, session),
        roles=role_states(home),
    )


@router.get("/{organ}/{number}")
def show_release(
    request: Request, session: SessionDep, home: HomeDep, viewer: ViewerDep, organ: Organ, number: Number
) -> Response:
    """Show one release; of a withdrawn one, when and why."""
    name = f"{organ}/{number}"
    withdrawal = withdrawals(signed_targets(home, organ), organ).get(number)
    there = withdrawal is None
    return pages.show(
        request,
        viewer,
        pages.RELEASES,
        "release.html.j2",
        live=True,
        run=release_rows.run_of(session, organ, number),
        uses=release_rows.uses_of(session, name) if Scope.READ_ROUNDS in viewer.scopes else None,
        actions=list_actions(session, limit=5, subject=name) if Scope.READ_ACTIONS in viewer.scopes else [],
        name=name,
        withdrawal=withdrawal,
        manifest=read_manifest(home, organ, number) if there else None,
        samples=release_rows.samples_address(home, organ, number) if there else None,
        role=next(role for role in role_states(home) if role.role == organ) if there else None,
    )


@router.get("/{organ}/{number}/withdraw")
def show_withdraw(
    request: Request,
    home: HomeDep,
    viewer: ViewerDep,
    organ: Organ,
    number: Number,
    reason: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Show the commands that take a release back: they need keys that no browser sees."""
    read_manifest(home, organ, number)  # there is one
    name, quoted = f"{organ}/{number}", shlex.quote(reason.strip() or EXAMPLE_REASON)
    return pages.show(
        request,
        viewer,
        pages.RELEASES,
        "withdraw.html.j2",
        name=name,
        reason=reason.strip(),
        direct=f"c2lst-server withdraw {name} --reason {quoted}",
        staged=f"c2lst-server stage withdraw {name} --reason {quoted} --out withdraw.json\n"
        "c2lst-server sign withdraw.json --key KEY\nc2lst-server publish --staged withdraw.json",
    )
