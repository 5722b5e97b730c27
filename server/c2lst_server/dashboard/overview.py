"""The first page: what needs attention, where things stand, and what was done last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import func, select

from c2lst_server.actions import list_actions
from c2lst_server.administrators import Scope
from c2lst_server.dashboard import attention, pages
from c2lst_server.dashboard.links import SeenLinks
from c2lst_server.dashboard.viewer import PageRoute, ViewerDep
from c2lst_server.db.models import ACTIVE, Round, Site, Training
from c2lst_server.deps import HomeDep, ReadinessDep, SessionDep, SettingsDep
from c2lst_server.errors import NotThere
from c2lst_server.publishing.catalogue import read_catalogue
from c2lst_server.publishing.roles import role_states
from c2lst_server.rounds import store as rounds
from c2lst_server.trainings import store as trainings

router = APIRouter(prefix=pages.PREFIX, route_class=PageRoute, include_in_schema=False)
beside = APIRouter(include_in_schema=False)  # what lies outside of the dashboard's own addresses, or nowhere

LATEST = 8  # actions that are shown
RUNNING = 5  # rounds and trainings that are shown


async def get_faults(readiness: ReadinessDep) -> dict[str, str]:
    """Return what makes the service unfit, by check."""
    return await readiness.faults()


def get_links(request: Request) -> SeenLinks:
    """Return what SuperLink was last heard to say."""
    links: SeenLinks = request.app.state.links
    return links


LinksDep = Annotated[SeenLinks, Depends(get_links)]


@router.get("")
def show_overview(
    request: Request,
    session: SessionDep,
    home: HomeDep,
    settings: SettingsDep,
    links: LinksDep,
    viewer: ViewerDep,
    faults: Annotated[dict[str, str], Depends(get_faults)],
) -> Response:
    """Show what there is to do."""
    now = datetime.now(UTC)
    newest = trainings.list_trainings(session, limit=50) if Scope.READ_TRAININGS in viewer.scopes else []
    open_rounds = rounds.list_rounds(session, limit=50) if Scope.READ_ROUNDS in viewer.scopes else []
    return pages.show(
        request,
        viewer,
        pages.OVERVIEW,
        "overview.html.j2",
        live=True,
        attention=attention.items(home, session, viewer, faults, settings.least_free, now),
        releases=len(read_catalogue(home).releases),
        active=session.scalar(select(func.count()).where(Site.state == ACTIVE)),
        online=links.online,
        rounds_open=session.scalar(select(func.count()).where(Round.closed.is_(None))),
        trainings_running=session.scalar(select(func.count()).where(Training.state == "running")),
        next_expiry=min(role_states(home, now), key=lambda role: role.expires),
        running_trainings=[each for each in newest if not each.is_over][:RUNNING],
        running_rounds=[each for each in open_rounds if each.closed is None][:RUNNING],
        actions=list_actions(session, limit=LATEST, sessions=False) if Scope.READ_ACTIONS in viewer.scopes else None,
    )


@router.get("/{path:path}")
def show_nothing(path: str, viewer: ViewerDep) -> Response:
    """Say that there is no such page."""
    raise NotThere("Nothing is at this address; the pages of the dashboard are in the bar above.")


@beside.get("/")
def lead_to_dashboard() -> Response:
    """People who type the address of the server alone come to the dashboard."""
    return RedirectResponse(pages.PREFIX, status_code=303)
