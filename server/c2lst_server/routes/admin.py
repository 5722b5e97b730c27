"""What an administrator may ask for, with a token that has the scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from c2lst_server.administrators import Scope
from c2lst_server.deps import SessionDep, administrator_with
from c2lst_server.problems import refusals
from c2lst_server.sites import registry
from c2lst_server.sites.registry import SiteRecord

router = APIRouter(prefix="/api/v1/admin/sites", tags=["administration"])

MAX_PAGE = 200
Name = Annotated[str, Path(max_length=32, examples=["hospital-a"])]
CAN_READ = Depends(administrator_with(Scope.READ_SITES))
CAN_WRITE = Depends(administrator_with(Scope.WRITE_SITES))


@router.get("", dependencies=[CAN_READ], responses=refusals(401, 403, 422))
def list_sites(
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")] = MAX_PAGE,
    after: Annotated[str, Query(max_length=32, description="The name after which to begin: the last of the page before.")] = "",
) -> list[SiteRecord]:
    """List sites by name, one page at a time."""
    return registry.list_sites(session, limit=limit, after=after)


@router.post("/{name}/suspend", dependencies=[CAN_WRITE], responses=refusals(401, 403, 404, 422))
def suspend_site(session: SessionDep, name: Name) -> SiteRecord:
    """Stop dealing with a site, at once."""
    return registry.suspend(session, name)


@router.post("/{name}/resume", dependencies=[CAN_WRITE], responses=refusals(401, 403, 404, 422))
def resume_site(session: SessionDep, name: Name) -> SiteRecord:
    """Deal with a suspended site again."""
    return registry.resume(session, name)


@router.delete("/{name}", dependencies=[CAN_WRITE], status_code=204, responses=refusals(401, 403, 404, 422))
def remove_site(session: SessionDep, name: Name) -> None:
    """Forget a site and its key, at once."""
    registry.remove(session, name)
