"""Commands that sign, stage, publish, withdraw and list releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.options import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    note_action,
    passphrase_of,
    print_table,
    session_of,
    settings_of,
    size_in_words,
)

if TYPE_CHECKING:
    from c2lst_server.publishing.staging import Staged

app = typer.Typer()
stage_app = typer.Typer(no_args_is_help=True, help="Write what is to be signed, for keys that are kept on other machines.")
releases_app = typer.Typer(no_args_is_help=True, help="What was published.")

StagedOption = Annotated[Path, typer.Option("--out", help="File to write; carry it to the keys.")]


@app.command()
def publish(
    run: Annotated[str | None, typer.Argument(help="Name of a finished run.")] = None,
    organ: Annotated[str | None, typer.Option(help="Organ of the release.")] = None,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    staged: Annotated[
        Path | None, typer.Option(help="A file of `stage` that enough keys have signed, in place of RUN.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest; sign and change nothing.")] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Sign a finished run as the next release of its organ and make it visible; or make visible what was signed elsewhere."""
    from c2lst_server.publishing import publish as publishing
    from c2lst_server.publishing import staging
    from c2lst_server.publishing.keys import Keyring

    settings = settings_of(home, passphrase_file)
    folders = settings.folders
    with session_of(settings) as session:
        if staged is not None:
            typer.echo("\n".join(staging.publish_staged(folders, session, staged)))
            return
        if run is None or organ is None:
            raise typer.BadParameter("Give RUN and --organ, or --staged FILE.")
        if dry_run:
            typer.echo(publishing.describe(folders, session, run, organ=organ, summary=summary).model_dump_json(indent=1))
            return
        keyring = Keyring(folders.keys, passphrase_of(settings))
        manifest = publishing.publish(folders, session, keyring, run, organ=organ, summary=summary)
    typer.echo(f"Published {manifest.name}: {size_in_words(manifest.weights_bytes)}, SHA-256 {manifest.weights_sha256}.")


@stage_app.command("publish")
def stage_publish(
    run: Annotated[str, typer.Argument(help="Name of a finished run.")],
    organ: Annotated[str, typer.Option(help="Organ of the release.")],
    out: StagedOption,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    home: HomeOption = None,
) -> None:
    """Put a run in its place as the next release, unseen, and write what is to be signed."""
    from c2lst_server.publishing import staging

    settings = settings_of(home)
    with session_of(settings) as session:
        staged = staging.stage_publication(settings.folders, session, run, organ=organ, summary=summary, out=out)
    _print_staged(staged, out)


@stage_app.command("withdraw")
def stage_withdraw(
    release: Annotated[str, typer.Argument(help="For example mob/1.")],
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    out: StagedOption,
    home: HomeOption = None,
) -> None:
    """Write what is to be signed to take a release back."""
    from c2lst_server.publishing import staging
    from c2lst_shared.release.targets import split_release

    _print_staged(staging.stage_withdrawing(settings_of(home).folders, *split_release(release), reason, out=out), out)


@stage_app.command("renew")
def stage_renew(out: StagedOption, home: HomeOption = None) -> None:
    """Write the targets and every organ's role, to be signed again before they expire (90 days)."""
    from c2lst_server.publishing import staging

    _print_staged(staging.stage_renewal(settings_of(home).folders, out=out), out)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="A file of `stage`.")],
    key: Annotated[Path, typer.Option(help="PEM of one of the targets keys.")],
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Add one signature to a staged file; needs neither the server nor a network."""
    from c2lst_server.publishing import staging

    typer.echo("\n".join(["This signature says:", *staging.read_staged(file).contents()]), err=True)
    _print_staged(staging.add_signature(file, key, passphrase_of(settings_of(None, passphrase_file))), file)


@app.command()
def withdraw(
    release: Annotated[str, typer.Argument(help="For example mob/1.")],
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Take a release back: sign that it is not to be used any more. Its number is not given again."""
    from c2lst_server.actions import Action
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.withdraw import withdraw as withdraw_release
    from c2lst_shared.release.targets import split_release

    settings = settings_of(home, passphrase_file)
    organ, number = split_release(release)
    signed = withdraw_release(settings.folders, Keyring(settings.folders.keys, passphrase_of(settings)), organ, number, reason)
    typer.echo(f"{release} is {signed}. Sites set it aside at their next pull.")
    note_action(settings, Action.WITHDREW, release, reason)


@app.command()
def renew(home: HomeOption = None, passphrase_file: PassphraseFileOption = None) -> None:
    """Sign the targets and every organ's role again before they expire (90 days)."""
    from c2lst_server.actions import Action
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.refresh import renew_targets

    settings = settings_of(home, passphrase_file)
    signed = renew_targets(settings.folders, Keyring(settings.folders.keys, passphrase_of(settings)))
    typer.echo(f"Signed again: {', '.join(signed)}.")
    note_action(settings, Action.RENEWED, "targets")


@releases_app.command("list")
def list_releases(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all releases."""
    from c2lst_server.publishing.catalogue import read_catalogue

    catalogue = read_catalogue(settings_of(home).folders)
    if as_json:
        typer.echo(catalogue.model_dump_json(indent=1))
        return
    rows = [
        (item.name, f"{item.created:%Y-%m-%d}", item.preset, size_in_words(item.weights_bytes), item.summary)
        for item in catalogue.releases
    ]
    print_table(("RELEASE", "CREATED", "PRESET", "SIZE", "SUMMARY"), rows, empty="No release yet.")


def _print_staged(staged: Staged, path: Path) -> None:
    typer.echo(f"{path}:")
    counts = staged.signatures()
    for role, count in counts.items():
        typer.echo(f"  {role:<12} {count} of {staged.signers[role].threshold} signatures")
    complete = all(count >= staged.signers[role].threshold for role, count in counts.items())
    following = f"c2lst-server publish --staged {path}" if complete else f"c2lst-server sign {path} --key KEY"
    typer.echo(f"Next: {following}")
