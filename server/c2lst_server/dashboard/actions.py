"""The page that says who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from c2lst_server import administrators
from c2lst_server.actions import list_actions
from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.viewer import PageRoute, viewer_with
from c2lst_server.deps import SessionDep

router = APIRouter(prefix=pages.ACTIONS.address, route_class=PageRoute, include_in_schema=False)

PAGE = 50
Reader = Annotated[AdministratorRecord, Depends(viewer_with(Scope.READ_ACTIONS))]


@router.get("")
def show_actions(
    request: Request,
    session: SessionDep,
    viewer: Reader,
    before: Annotated[int | None, Query(ge=1, le=2**31)] = None,
) -> Response:
    """List what was done, the newest first, and who may do things."""
    found = list_actions(session, limit=PAGE + 1, before=before)
    return pages.show(
        request,
        viewer,
        pages.ACTIONS,
        "actions.html.j2",
        live=True,
        actions=found[:PAGE],
        administrators=administrators.list_administrators(session) if before is None else [],
        newest=pages.ACTIONS.address if before is not None else "",
        older=f"?before={found[PAGE - 1].id}" if len(found) > PAGE else "",
    )
