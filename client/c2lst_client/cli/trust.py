"""Commands about the centre and its releases: enrol, pull, carry releases by file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.options import HomeOption, home_of, settings_of

app = typer.Typer()


@app.command()
def enroll(
    file: Annotated[Path, typer.Argument(help="The one-time enrolment file from the centre.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="Root fingerprint as the centre told you by another way; refuse a file with another one.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send nothing, on a machine without a network: releases come by import-bundle.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Trust the centre of an enrolment file and make this institution known to it."""
    from c2lst_client.trust.enrol import enrol

    settings = settings_of(home)
    enrolment = enrol(settings.folders, file, fingerprint=fingerprint, offline=offline, proxy=settings.proxy)
    typer.echo(f"Enrolled as {enrolment.site} at {enrolment.server}.")
    typer.echo(f"Root fingerprint, to compare with the centre: {enrolment.root_sha256}")


@app.command("rotate-key")
def rotate_key(home: HomeOption = None) -> None:
    """Make a new key for this institution, here and at the centre; the old one is worth nothing then."""
    from c2lst_client.trust.access import rotate_key as rotate

    settings = settings_of(home)
    enrolment = rotate(settings.folders, proxy=settings.proxy)
    typer.echo(f"{enrolment.site} has a new key. Its fingerprint: {enrolment.key_fingerprint}")


@app.command()
def pull(
    organ: Annotated[str, typer.Option(help="For example mob or breast.")],
    release: Annotated[int | None, typer.Option(min=1, help="Number of the release; the newest by default.")] = None,
    home: HomeOption = None,
) -> None:
    """Download a release and verify it."""
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress

    settings = settings_of(home)
    with console_progress() as progress:
        pulled = pull_release(settings.folders, organ, release, progress, proxy=settings.proxy)
    typer.echo(f"Release {pulled.manifest.name} is here and verified: {pulled.folder}")


@app.command("export-bundle")
def export_bundle(
    release: Annotated[str, typer.Argument(help="A release that is here, for example mob/1.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
    home: HomeOption = None,
) -> None:
    """Write a release with its signed metadata to one file, for a machine without a network. Carry it there within a week."""
    from c2lst_client.trust.bundle import export_bundle as write_bundle

    size = write_bundle(home_of(home), release, out)
    typer.echo(f"Wrote {out}: {release}, {size / 1e6:.1f} MB. Next, there: c2lst-client import-bundle {out.name}")


@app.command("import-bundle")
def import_bundle(
    bundle: Annotated[Path, typer.Argument(help="File made by export-bundle.")],
    home: HomeOption = None,
) -> None:
    """Take in a release from a file, under the same checks as from the server."""
    from c2lst_client.trust.bundle import Bundle
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress
    from c2lst_shared.release.targets import split_release

    with Bundle(bundle) as opened:
        releases = opened.releases()
    with console_progress() as progress:
        for name in releases:
            organ, number = split_release(name)
            pulled = pull_release(home_of(home), organ, number, progress, bundle=bundle)
            typer.echo(f"Release {pulled.manifest.name} is here and verified: {pulled.folder}")
    if not releases:
        typer.echo("The bundle holds no release.")
