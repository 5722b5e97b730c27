"""Commands about the centre and its releases: enrol, pull, carry releases by file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.completion import complete_organ, complete_release
from c2lst_client.cli.opening import home_of, settings_of
from c2lst_client.cli.options import HomeOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

app = CommandLine(panel="The centre and its releases")


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
    as_json: JsonOption = False,
) -> None:
    """Trust the centre of an enrolment file and make this institution known to it.

    The private key is made here and stays here; the centre gets the public half. A file works once. Ask the centre by telephone
    or letter for the root fingerprint, and compare it with the one that is printed, or pass it with --fingerprint.

    Examples:
        c2lst-client enroll hospital-a.json
        c2lst-client enroll hospital-a.json --fingerprint 5f2c08...
        c2lst-client enroll hospital-a.json --offline
    """
    from c2lst_client.trust.enrol import enrol

    settings = settings_of(home)
    enrolment = enrol(settings.folders, file, fingerprint=fingerprint, offline=offline, proxy=settings.proxy)
    lines = [
        f"Enrolled as {enrolment.site} at {enrolment.server}.",
        f"Root fingerprint, to compare with the centre: {enrolment.root_sha256}",
    ]
    show({"site": enrolment.site, "server": enrolment.server, "root_sha256": enrolment.root_sha256}, lines, as_json=as_json)


@app.command("rotate-key")
def rotate_key(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a new key for this institution, here and at the centre; the old one is worth nothing then.

    Do so when somebody may have seen the key, or once a year. Stop `join` first and start it again afterwards.

    Examples:
        c2lst-client rotate-key
    """
    from c2lst_client.trust.access import rotate_key as rotate

    settings = settings_of(home)
    enrolment = rotate(settings.folders, proxy=settings.proxy)
    lines = [f"{enrolment.site} has a new key. Its fingerprint: {enrolment.key_fingerprint}"]
    show({"site": enrolment.site, "key_fingerprint": enrolment.key_fingerprint}, lines, as_json=as_json)


@app.command()
def pull(
    organ: Annotated[str, typer.Option(help="For example mob or breast.", autocompletion=complete_organ)],
    release: Annotated[int | None, typer.Option(min=1, help="Number of the release; the newest by default.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a release and verify it.

    Signatures, lengths, digests and the weights' names and shapes are checked before anything of it is used. A download that
    breaks off goes on where it was. `adapt` pulls by itself what it needs.

    Examples:
        c2lst-client pull --organ mob
        c2lst-client pull --organ breast --release 3
    """
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress

    settings = settings_of(home)
    with console_progress() as progress:
        pulled = pull_release(settings.folders, organ, release, progress, proxy=settings.proxy)
    lines = [f"Release {pulled.manifest.name} is here and verified: {pulled.folder}"]
    show({"release": pulled.manifest.name, "folder": pulled.folder}, lines, as_json=as_json)


@app.command("export-bundle")
def export_bundle(
    release: Annotated[str, typer.Argument(help="A release that is here, for example mob/1.", autocompletion=complete_release)],
    out: Annotated[Path, typer.Argument(help="File to write.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a release with its signed metadata to one file, for a machine without a network. Carry it there within a week.

    Examples:
        c2lst-client export-bundle mob/1 mob-1.tar
    """
    from c2lst_client.trust.bundle import export_bundle as write_bundle

    size = write_bundle(home_of(home), release, out)
    lines = [f"Wrote {out}: {release}, {size / 1e6:.1f} MB. Next, there: c2lst-client import-bundle {out.name}"]
    show({"release": release, "out": out, "bytes": size}, lines, as_json=as_json)


@app.command("import-bundle")
def import_bundle(
    bundle: Annotated[Path, typer.Argument(help="File made by export-bundle.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in a release from a file, under the same checks as from the server.

    Examples:
        c2lst-client import-bundle mob-1.tar
    """
    from c2lst_client.trust.bundle import Bundle
    from c2lst_client.trust.pull import pull as pull_release
    from c2lst_shared.progress import console_progress
    from c2lst_shared.release.targets import split_release

    with Bundle(bundle) as opened:
        releases = [split_release(name) for name in opened.releases()]
    with console_progress() as progress:
        taken = [pull_release(home_of(home), organ, number, progress, bundle=bundle) for organ, number in releases]
    lines = [f"Release {each.manifest.name} is here and verified: {each.folder}" for each in taken]
    found = [{"release": each.manifest.name, "folder": each.folder} for each in taken]
    show(found, lines or ["The bundle holds no release."], as_json=as_json)
