"""The catalogue. It informs; what a site trusts are the signed files under /tuf."""

from __future__ import annotations

from fastapi import APIRouter

from c2lst_server.deps import HomeDep
from c2lst_server.publishing.catalogue import read_catalogue, read_manifest
from c2lst_shared.release.manifest import Manifest
from c2lst_shared.wire import Catalogue

router = APIRouter(prefix="/api/v1/releases", tags=["releases"])


@router.get("")
def list_releases(home: HomeDep) -> Catalogue:
    """List all releases, by organ and rising number."""
    return read_catalogue(home)


@router.get("/{organ}/{number}")
def get_release(home: HomeDep, organ: str, number: int) -> Manifest:
    """Show the manifest of one release."""
    return read_manifest(home, organ, number)
