"""What has left this institution: the audit log, line by line and byte for byte."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.exceptions import HTTPException

from c2lst_client.audit import AuditLog, Entry, verify_chain
from c2lst_client.audit_pages import read_line, read_page, whole_lines
from c2lst_client.console.reading_forms import Form
from c2lst_client.console.site_console import Console, acting, showing
from c2lst_client.export import KIND
from c2lst_client.trust.pinned import load_enrolment
from c2lst_shared.errors import BadArtefact, BadInput, C2lstError
from c2lst_shared.wire.terms import RoundAnswer, WireMessage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

HERE = "/record"
PER_PAGE = 25
VERIFIED_AT_ONCE = 8 << 20  # bytes; a longer log is checked when somebody asks for it
SCHEMAS = (*sorted(kind.__name__ for kind in (*WireMessage.__subclasses__(), *RoundAnswer.__subclasses__())), KIND)
NO_MESSAGE = "none"


def routes() -> list[Route]:
    """Return the pages of the record."""
    return [
        showing(HERE, show_record),
        acting(HERE, check_record),
        showing("/record/download", download),
        showing("/record/line/{offset:int}", one_line),
    ]


def show_record(console: Console, request: Request) -> Response:
    """Show the newest lines, or those before an offset, of a destination or a schema."""
    return _list(console, request, check=False)


def check_record(console: Console, request: Request, form: Form) -> Response:
    """Check the whole chain, however long it is."""
    return _list(console, request, check=True)


def _list(console: Console, request: Request, *, check: bool) -> Response:
    query = request.query_params
    destination, schema = query.get("destination", "").strip()[:200], query.get("schema", "")

    def wanted(entry: Entry) -> bool:
        named = schema in ("", entry.message or NO_MESSAGE)
        return named and destination.lower() in entry.path.lower()

    log, before = console.home.audit_log, query.get("before", "")
    start = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None
    page = read_page(log, before=start, count=PER_PAGE, wanted=wanted)
    filters = {name: value for name, value in (("destination", destination), ("schema", schema)) if value}
    size = log.stat().st_size if log.exists() else 0
    return console.page(
        request,
        "record.html.j2",
        HERE,
        {
            "lines": page.lines,
            "older": f"{HERE}?{urlencode({**filters, 'before': page.older})}" if page.older is not None else "",
            "newest": f"{HERE}?{urlencode(filters)}" if start is not None else "",
            "destination": destination,
            "schema": schema,
            "schemas": [("", "All"), *((name, name) for name in SCHEMAS), (NO_MESSAGE, "Nothing sent but the address")],
            "filtered": bool(filters),
            "size": size,
            "chain": _chain(log) if check or size <= VERIFIED_AT_ONCE else None,
            "server": _server(console),
        },
        live=True,
    )


def one_line(console: Console, request: Request) -> Response:
    """Show one line: its bytes, and the same set out."""
    try:
        line = read_line(console.home.audit_log, request.path_params["offset"])
    except BadInput:
        raise HTTPException(404) from None
    content = line.entry.content if line.entry else None
    return console.page(
        request,
        "record_line.html.j2",
        HERE,
        {
            "line": line,
            "pretty": "" if content is None else json.dumps(content, indent=2, ensure_ascii=False),
            "raw": line.raw.decode(errors="backslashreplace"),
            "digest": hashlib.sha256(line.raw).hexdigest(),
            "server": _server(console),
        },
    )


def download(console: Console, request: Request) -> Response:
    """Return the whole log as it is on the disk, up to its last line."""
    from starlette.responses import StreamingResponse

    size, parts = whole_lines(console.home.audit_log)
    headers = {"Content-Disposition": 'attachment; filename="c2lst-record.jsonl"', "Content-Length": str(size)}
    return StreamingResponse(parts, media_type="application/jsonl", headers=headers)


class Chain:
    """What a look at the whole log found."""

    def __init__(self, lines: int, head: str, fault: str = "") -> None:
        self.lines, self.head, self.fault = lines, head, fault


def _chain(log: Path) -> Chain:
    stamp = log.stat() if log.exists() else None
    return _checked(log, stamp.st_size if stamp else 0, stamp.st_mtime_ns if stamp else 0)


@lru_cache(maxsize=4)
def _checked(log: Path, size: int, modified: int) -> Chain:
    """Check a log once for as long as it stays as it is."""
    try:
        return Chain(verify_chain(log), AuditLog(log).head)
    except BadArtefact as error:
        return Chain(0, "", str(error))


def _server(console: Console) -> str:
    try:
        return load_enrolment(console.home).server
    except C2lstError:
        return ""
