"""The catalogue. It informs; what a site trusts are the signed files under /tuf."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from c2lst_server.deps import HomeDep
from c2lst_server.problems import refusals
from c2lst_server.publishing.catalogue import read_catalogue, read_manifest
from c2lst_shared.release.manifest import Manifest
from c2lst_shared.wire import Catalogue

router = APIRouter(prefix="/api/v1/releases", tags=["releases"])

MAX_PAGE = 200
Organ = Annotated[str, Path(max_length=32, examples=["mob"])]
Number = Annotated[int, Path(ge=1, le=10**9, examples=[1])]


@router.get("", responses=refusals(422))
def list_releases(
    home: HomeDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")] = MAX_PAGE,
    offset: Annotated[int, Query(ge=0, le=10**9, description="How many to leave out: those of the pages before.")] = 0,
) -> Catalogue:
    """List releases by organ and rising number, one page at a time."""
    return read_catalogue(home, limit=limit, offset=offset)


@router.get("/{organ}/{number}", responses=refusals(404, 422))
def get_release(home: HomeDep, organ: Organ, number: Number) -> Manifest:
    """Show the manifest of one release."""
    return read_manifest(home, organ, number)
