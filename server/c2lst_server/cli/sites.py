"""Commands about the institutions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, SiteArgument, table
from c2lst_shared.command_line import CommandLine, JsonOption, show

sites_app = CommandLine(help="The institutions that may pull releases and take part in rounds.")


@sites_app.command("add")
def add_site(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    url: Annotated[str, typer.Option(help="Where the site reaches this server, for example https://central.example.org.")],
    out: Annotated[Path, typer.Option(help="Enrolment file to write; hand it to the site over a safe way.")],
    ca: Annotated[Path | None, typer.Option(help="PEM of the certificate authority that the site shall accept.")] = None,
    insecure_http: Annotated[bool, typer.Option("--insecure-http", help="Allow an http:// URL of another machine.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Invite a site: write its one-time enrolment file. Repeat to replace a file that was lost before use.

    Hand the file over by a way that only the site reads, and the fingerprint by another, such as the telephone.

    Examples:
        c2lst-server sites add hospital-a --url https://central.example.org --out hospital-a.json
        c2lst-server sites add hospital-a --url https://central.example.org --ca secrets/ca.pem --out hospital-a.json
    """
    from c2lst_server.sites import registry

    settings = settings_of(home)
    with session_of(settings) as session:
        address = registry.Address(url, registry.read_ca(ca) if ca else None, insecure_http)
        file = registry.invite(session, settings.folders, name, address, out=out)
    lines = [
        f"Wrote {out}: it enrols site {name} once, until {file.expires:%Y-%m-%d %H:%M} UTC. Treat it as a secret.",
        f"Root fingerprint to compare with the site: {file.root_sha256}",
    ]
    result = {"site": name, "out": out, "expires": file.expires, "root_sha256": file.root_sha256}
    show(result, lines, as_json=as_json)


@sites_app.command("list")
def list_sites(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all sites.

    Examples:
        c2lst-server sites list
        c2lst-server sites list --json
    """
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        sites = registry.list_sites(session)
    rows = [
        (site.name, site.state, f"{site.enrolled:%Y-%m-%d}" if site.enrolled else "-", site.key_fingerprint or "-")
        for site in sites
    ]
    show(sites, table(("SITE", "STATE", "ENROLLED", "KEY FINGERPRINT"), rows, empty="No site yet."), as_json=as_json)


@sites_app.command("suspend")
def suspend_site(name: SiteArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop dealing with a site, at once; its unused enrolment file becomes void.

    Examples:
        c2lst-server sites suspend hospital-a
    """
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        site = registry.suspend(session, name)
    show(site, [f"Site {name} is suspended."], as_json=as_json)


@sites_app.command("resume")
def resume_site(name: SiteArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Deal with a suspended site again.

    Examples:
        c2lst-server sites resume hospital-a
    """
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        site = registry.resume(session, name)
    show(site, [f"Site {name} is {site.state} again."], as_json=as_json)


@sites_app.command("remove")
def remove_site(name: SiteArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Forget a site and its key; what it has pulled stays with it.

    Examples:
        c2lst-server sites remove hospital-a
    """
    from c2lst_server.sites import registry

    with session_of(settings_of(home)) as session:
        registry.remove(session, name)
    show({"removed": name}, [f"Site {name} is removed."], as_json=as_json)
