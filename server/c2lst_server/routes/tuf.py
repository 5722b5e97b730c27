"""The signed files, as they lie on disk; a plain file server or a CDN could do this as well."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse, Response

from c2lst_server.deps import HomeDep
from c2lst_server.errors import NotThere
from c2lst_server.problems import refusals
from c2lst_shared.release.manifest import NAME_PATTERN
from c2lst_shared.release.targets import FILES

router = APIRouter(prefix="/tuf", tags=["signed files"])

# Only names that publishing writes are looked up, so nothing else in the folders, or outside them, can be asked for.
_METADATA = re.compile(rf"timestamp\.json|[0-9]{{1,12}}\.{NAME_PATTERN}\.json")
_TARGET = re.compile(rf"{NAME_PATTERN}/[0-9]{{1,9}}/[0-9a-f]{{64}}\.({'|'.join(map(re.escape, FILES))})")

_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # the name holds the version or the digest
_NEVER = {"Cache-Control": "no-cache"}
_TARGET_EXAMPLE = f"mob/1/{'0' * 64}.weights.safetensors"
_BYTES = "application/octet-stream"
_EXAMPLE = {"signed": {"_type": "timestamp", "version": 7}, "signatures": [{"keyid": "a1b2", "sig": "c3d4"}]}


class _Target(FileResponse):
    """A file that may be large: read in few pieces, each of which costs a turn through the thread pool."""

    chunk_size = 1 << 20


@router.get(
    "/metadata/{name}",
    response_class=Response,
    responses=refusals(404, 422)
    | {200: {"content": {"application/json": {"example": _EXAMPLE}}, "description": "As it was signed."}},
)
def get_metadata(home: HomeDep, name: Annotated[str, Path(max_length=100, examples=["timestamp.json"])]) -> Response:
    """Serve one metadata file; a root that does not exist yet is 404, by which clients know that they have the newest."""
    path = home.metadata / name
    if not _METADATA.fullmatch(name) or not path.is_file():
        raise NotThere(f"There is no metadata file {name}.")
    headers = _NEVER if name == "timestamp.json" else _FOREVER
    # read as a whole: the timestamp may be replaced while a slow client still receives the old one
    return Response(path.read_bytes(), media_type="application/json", headers=headers)


@router.get(
    "/targets/{path:path}",
    response_class=FileResponse,
    responses=refusals(404, 422)
    | {
        200: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}, "description": "All of it."},
        206: {"content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}, "description": "The part asked for."},
        416: {"description": "There is no such part."},
    },
)
def get_target(home: HomeDep, path: Annotated[str, Path(max_length=300, examples=[_TARGET_EXAMPLE])]) -> FileResponse:
    """Serve one file of a release; Range requests are answered, so that a broken download can go on."""
    file = home.targets / path
    if not _TARGET.fullmatch(path) or not file.is_file():
        raise NotThere(f"There is no file {path}.")
    return _Target(file, media_type=_BYTES, headers=_FOREVER)
