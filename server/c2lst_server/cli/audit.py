"""The command that says who did what."""

from __future__ import annotations

from typing import Annotated

import typer

from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, table
from c2lst_shared.command_line import CommandLine, JsonOption, show

PANEL = "Sites, rounds and administrators"
app = CommandLine(panel=PANEL)


@app.command()
def audit(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, the newest.")] = 50,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this site, round, release, ...")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only what is older than the record of this number.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who changed what and how they came: over the dashboard, the interface or a command, or as a site.

    Examples:
        c2lst-server audit
        c2lst-server audit --subject hospital-a --json
    """
    from c2lst_server.actions import list_actions

    with session_of(settings_of(home)) as session:
        found = list_actions(session, limit=limit, subject=subject, before=before)
    rows = [
        (str(one.id), f"{one.at:%Y-%m-%d %H:%M:%S}", one.who, one.via, f"{one.action} {one.subject}", one.detail or "")
        for one in found
    ]
    show(found, table(("NO.", "TIME (UTC)", "WHO", "VIA", "WHAT", ""), rows, empty="Nothing was done yet."), as_json=as_json)
