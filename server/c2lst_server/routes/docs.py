"""The interface's documentation as one plain page: no script, no style sheet from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from c2lst_server.security_headers import HEADERS

router = APIRouter(include_in_schema=False)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2127 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .5rem .75rem; border-bottom: 1px solid #d5d9de }
code { font-size: .95em }
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
<p>{description} The full description is <a href="{openapi}">{openapi}</a> (OpenAPI).</p>
<table>
<tr><th>Call<th>What it does<th>Takes<th>Gives
{rows}
</table>
</html>
"""
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()  # the one style that browsers shall apply here
_POLICY = HEADERS["Content-Security-Policy"].replace("style-src 'self'", f"style-src 'sha256-{_STYLE_HASH}'")


@router.get("/api/v1/docs", response_class=HTMLResponse)
def show_docs(request: Request) -> HTMLResponse:
    """List every call of the interface."""
    schema = request.app.openapi()
    calls = [(method, path, call) for path, methods in schema["paths"].items() for method, call in methods.items()]
    page = _PAGE.format(
        style=_STYLE,
        title=escape(f"{schema['info']['title']} {schema['info']['version']}"),
        description=escape(schema["info"]["description"]),
        openapi=escape(request.app.openapi_url),
        rows="\n".join(_row(*call) for call in calls),
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    takes = _schema_name(operation.get("requestBody", {}))
    gives = _schema_name(operation["responses"].get("200", {})) or ("bytes" if "/tuf/" in path else "")
    call = f"<code>{method.upper()} {escape(path)}</code>"
    return f"<tr><td>{call}<td>{escape(operation['description'])}<td>{escape(takes)}<td>{escape(gives)}"


def _schema_name(part: dict[str, Any]) -> str:
    for content in part.get("content", {}).values():
        schema = content.get("schema", {})
        name: str = schema.get("$ref", schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
        if name:
            return f"list of {name}" if "items" in schema else name
    return ""
