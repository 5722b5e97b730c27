"""A page about the HTTP interface, made from the OpenAPI document that the service itself serves."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from c2lst_server.app import create_app
from c2lst_server.db.session import migrate
from c2lst_server.publishing.initialise import initialise
from c2lst_server.settings import Settings

NEVER_GIVEN = {"HTTPValidationError", "ValidationError"}  # FastAPI's own: refusals here are problem details
INTRODUCTION = """# HTTP interface

The service describes itself at `/api/v1/openapi.json`, and lists its calls at `/api/v1/docs`; this page is made from the same
description. Signed files lie under `/tuf/` and can be verified by whoever has the root; everything else informs.

Sites show an access token that they get for a statement signed with their own key (`POST /api/v1/token`, RFC 7523);
administrators the token of [`c2lst-server admins add`](c2lst-server.md#c2lst-server-admins-add). Both go into the header
`Authorization: Bearer TOKEN`. Refusals are problem details (RFC 9457), `application/problem+json`.
"""


def page() -> str:
    """Return the page in Markdown."""
    description = _description()
    parts = [INTRODUCTION]
    parts += [text for path, calls in description["paths"].items() for text in _calls(path, calls)]
    messages = description["components"]["schemas"].items()
    parts.append("## Messages")
    parts += [text for name, schema in messages if name not in NEVER_GIVEN for text in _message(name, schema)]
    return "\n\n".join(parts) + "\n"


def _description() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(home=Path(scratch), database_url=f"sqlite:///{scratch}/empty.sqlite3")
        initialise(settings.folders, secrets.token_hex())
        migrate(settings)
        app = create_app(settings)
        found: dict[str, Any] = app.openapi()
        app.state.readiness.close()
        return found


def _calls(path: str, calls: dict[str, Any]) -> Iterator[str]:
    for method, call in calls.items():
        yield f"## {method.upper()} {path}"
        yield call.get("description") or call["summary"]
        rows = [_parameter(each) for each in call.get("parameters", [])]
        if rows:
            yield "\n".join(["| in | name | is | |", "|---|---|---|---|", *rows])
        yield from _body("Takes", call.get("requestBody", {}))
        for status, answer in call["responses"].items():
            if status in ("200", "201", "202", "204"):
                yield from _body(f"Answers {status}", answer)
        refusals = [f"`{status}` {answer['description']}" for status, answer in call["responses"].items() if status >= "400"]
        if refusals:
            yield "Refuses: " + "; ".join(refusals) + "."


def _parameter(parameter: dict[str, Any]) -> str:
    said = parameter.get("description", "")
    needed = " (required)" if parameter.get("required") and parameter["in"] != "path" else ""
    return f"| {parameter['in']} | `{parameter['name']}` | {_kind(parameter['schema'])}{needed} | {said} |"


def _body(title: str, body: dict[str, Any]) -> Iterator[str]:
    for media, content in body.get("content", {}).items():
        yield f"**{title}** {_kind(content.get('schema', {}))}, `{media}`"
        if "example" in content:
            yield "```json\n" + json.dumps(content["example"], indent=2) + "\n```"


def _message(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    if schema.get("description"):
        yield schema["description"].split("\n\n")[0]
    needed = schema.get("required", [])
    rows = [
        f"| `{field}`{'' if field in needed else ' (optional)'} | {_kind(kind)} | {kind.get('description', '')} |"
        for field, kind in schema.get("properties", {}).items()
    ]
    if rows:
        yield "\n".join(["| field | is | |", "|---|---|---|", *rows])


def _kind(schema: dict[str, Any]) -> str:
    """Say in a word or two what a value is."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or "any")
