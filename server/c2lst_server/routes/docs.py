"""The interface's documentation as one plain page: no script, no style sheet from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2127 }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; vertical-align: top; padding: .5rem .75rem; border-bottom: 1px solid #d5d9de }}
code {{ font-size: .95em }}
</style>
<h1>{title}</h1>
<p>{description} The full description is <a href="{openapi}">{openapi}</a> (OpenAPI).</p>
<table>
<tr><th>Call<th>What it does<th>Takes<th>Gives
{rows}
</table>
</html>
"""


@router.get("/api/v1/docs", response_class=HTMLResponse)
def show_docs(request: Request) -> str:
    """List every call of the interface."""
    schema = request.app.openapi()
    calls = [(method, path, call) for path, methods in schema["paths"].items() for method, call in methods.items()]
    return _PAGE.format(
        title=escape(f"{schema['info']['title']} {schema['info']['version']}"),
        description=escape(schema["info"]["description"]),
        openapi=escape(request.app.openapi_url),
        rows="\n".join(_row(*call) for call in calls),
    )


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    takes = _schema_name(operation.get("requestBody", {}))
    gives = _schema_name(operation["responses"]["200"]) or "bytes"
    call = f"<code>{method.upper()} {escape(path)}</code>"
    return f"<tr><td>{call}<td>{escape(operation['description'])}<td>{escape(takes)}<td>{escape(gives)}"


def _schema_name(part: dict[str, Any]) -> str:
    reference: str = part.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    return reference.rpartition("/")[2]
