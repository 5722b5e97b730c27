"""Commands about the institutions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.options import HomeOption, JsonOption, print_table, session_of, settings_of

sites_app = typer.Typer(no_args_is_help=True, help="The institutions that may pull releases and take part in rounds.")


@sites_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    url: Annotated[str, typer.Option(help="Where the site reaches this server, for example https://central.example.org.")],
    out: Annotated[Path, typer.Option(help="Enrolment file to write; hand it to the site over a safe way.")],
    ca: Annotated[Path | None, typer.Option(help="PEM of the certificate authority that the site shall accept.")] = None,
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Allow an http:// URL of another machine.")] = False,
    home: HomeOption = None,
) -> None:
    """Invite a site: write its one-time enrolment file. Repeat to replace a file that was lost before use."""
    from c2lst_server.sites import registry

    settings = settings_of(home)
    with session_of(settings) as session:
        address = registry.Address(url, registry.read_ca(ca) if ca else None, insecure_http)
        file = registry.invite(session, settings.folders, name, address, out=out)
    typer.echo(f"Wrote {out}: it enrols site {name} once, until {file.expires:%Y-%m-%d %H:%M} UTC. Treat it as a secret.")
    typer.echo(f"Root fingerprint to compare with the site: {file.root_sha256}")


@sites_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all sites."""
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        sites = registry.list_sites(session)
    if as_json:
        typer.echo(json.dumps([site.model_dump(mode="json") for site in sites], indent=1))
        return
    rows = [
        (site.name, site.state, f"{site.enrolled:%Y-%m-%d}" if site.enrolled else "-", site.key_fingerprint or "-")
        for site in sites
    ]
    print_table(("SITE", "STATE", "ENROLLED", "KEY FINGERPRINT"), rows, empty="No site yet.")


@sites_app.command("suspend")
def suspend_site(name: str, home: HomeOption = None) -> None:
    """Stop dealing with a site; its unused enrolment file becomes void."""
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        registry.suspend(session, name)
    typer.echo(f"Site {name} is suspended.")


@sites_app.command("resume")
def resume_site(name: str, home: HomeOption = None) -> None:
    """Deal with a suspended site again."""
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        state = registry.resume(session, name).state
    typer.echo(f"Site {name} is {state} again.")


@sites_app.command("remove")
def remove_site(name: str, home: HomeOption = None) -> None:
    """Forget a site and its key; what it has pulled stays with it."""
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        registry.remove(session, name)
    typer.echo(f"Site {name} is removed.")
