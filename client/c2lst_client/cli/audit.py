"""Commands about the audit log: what has left this institution."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from c2lst_client.cli.opening import settings_of
from c2lst_client.cli.options import HomeOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

audit_app = CommandLine(help="What has left this institution.")


@audit_app.command("show")
def show_audit(
    last: Annotated[int | None, typer.Option(min=1, help="Only so many lines, the newest.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what left: time, destination, kind of message, bytes and content.

    With --json one line of JSON per entry.

    Examples:
        c2lst-client audit show --last 20
        c2lst-client audit show --json
    """
    from c2lst_client.audit import read_entries

    entries = read_entries(settings_of(home).folders.audit_log)
    for entry in entries[-last:] if last else entries:
        if as_json:
            typer.echo(entry.model_dump_json(exclude_none=True))
            continue
        content = "" if entry.content is None else json.dumps(entry.content, separators=(",", ":"))
        typer.echo(
            f"{entry.time:%Y-%m-%d %H:%M:%S}  {entry.method:<8} {entry.path}  {entry.message or '-'}  "
            f"{entry.bytes_out} bytes out, {entry.bytes_in} in  {content}".rstrip()
        )


@audit_app.command("verify")
def verify_audit(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check that no line of the audit log was edited, removed or reordered. Exit code 3 when one was.

    Lines cut off at the end cannot be seen: keep the newest digest elsewhere, and compare.

    Examples:
        c2lst-client audit verify
    """
    from c2lst_client.audit import AuditLog, verify_chain

    path = settings_of(home).folders.audit_log
    lines = verify_chain(path)
    head = AuditLog(path).head
    words = f"{path}: {lines} lines, none changed. Newest digest, to be kept elsewhere: {head}"
    show({"log": path, "lines": lines, "head": head}, [words], as_json=as_json)
