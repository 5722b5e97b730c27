"""The command that copies synthetic pairs out of the state folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from c2lst_client.cli.opening import home_of
from c2lst_client.cli.options import HomeOption, SiteOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.console import confirm

app = CommandLine(panel="Steps at a site, in their order")
WAIVERS = "Waivers"


@app.command()
def export(
    site: SiteOption,
    out: Annotated[Path, typer.Option(help="Folder to make; nothing is overwritten.")],
    format: Annotated[
        Literal["hest", "spatialdata"], typer.Option(help="patches.h5 and expression.h5ad, or one SpatialData store (Zarr).")
    ] = "hest",
    allow_observed: Annotated[
        bool,
        typer.Option(
            "--allow-observed",
            help="Also when the pairs carry the observed expression of real spots.",
            rich_help_panel=WAIVERS,
        ),
    ] = False,
    without_privacy_check: Annotated[
        bool,
        typer.Option(
            "--without-privacy-check",
            help="Also when privacy was not measured, or the measurement forbids it.",
            rich_help_panel=WAIVERS,
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy synthetic pairs out of the state folder, after asking; the audit log gets a line.

    Only pairs whose privacy was measured leave, and only where the rule of docs/export.md allows it. A policy with `export` =
    never forbids it, whatever the options say.

    Examples:
        c2lst-client export --site rep11 --out pairs/
        c2lst-client export --site rep11 --out pairs.zarr --format spatialdata --yes
    """
    from c2lst_client.audit import AuditLog
    from c2lst_client.export import plan_export, write_export
    from c2lst_client.rounds.policy import load_policy
    from c2lst_client.sites import open_site

    folder = home_of(home)
    opened = open_site(folder, site)
    with opened.exclusively():
        planned = plan_export(
            opened,
            out,
            policy=load_policy(folder),
            format=format,
            allow_observed=allow_observed,
            without_privacy_check=without_privacy_check,
        )
        for sentence in planned.sentences():
            typer.echo(sentence, err=as_json)
        if not yes:
            confirm("Write them?", instead="--yes")
        written = write_export(planned, AuditLog(folder.audit_log))
    show({"site": site, "pairs": len(planned.pairs), "out": written}, [f"Exported to {written}"], as_json=as_json)
