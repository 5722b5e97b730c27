"""Commands that sign, stage, publish, withdraw and list releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.completion import complete_release, complete_run
from c2lst_server.cli.opening import note_action, passphrase_of, session_of, settings_of
from c2lst_server.cli.options import HomeOption, PassphraseFileOption, RunArgument, size_in_words, table
from c2lst_shared.command_line import CommandLine, JsonOption, show

if TYPE_CHECKING:
    from c2lst_server.publishing.staging import Staged

PANEL = "Releases and keys"
app = CommandLine(panel=PANEL)
stage_app = CommandLine(help="Write what is to be signed, for keys that are kept on other machines.")
releases_app = CommandLine(help="What was published.")

ReleaseArgument = Annotated[str, typer.Argument(help="For example mob/1.", autocompletion=complete_release)]
StagedOption = Annotated[Path, typer.Option("--out", help="File to write; carry it to the keys.")]


@app.command()
def publish(
    run: Annotated[str | None, typer.Argument(help="Name of a finished run.", autocompletion=complete_run)] = None,
    organ: Annotated[str | None, typer.Option(help="Organ of the release.")] = None,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    staged: Annotated[
        Path | None, typer.Option(help="A file of `stage` that enough keys have signed, in place of RUN.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the manifest; sign and change nothing.")] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a finished run as the next release of its organ and make it visible; or make visible what was signed elsewhere.

    Both targets keys sign, so their passphrase is asked for. With --dry-run look at the manifest first: it is what sites read.

    Examples:
        c2lst-server publish mob-small --organ mob --dry-run
        c2lst-server publish mob-small --organ mob --summary "Eleven sections of four animals."
        c2lst-server publish --staged mob-2.staged
    """
    from c2lst_server.publishing import publish as publishing
    from c2lst_server.publishing import staging
    from c2lst_server.publishing.keys import Keyring

    settings = settings_of(home, passphrase_file)
    folders = settings.folders
    if staged is not None:
        with session_of(settings) as session:
            changes = staging.publish_staged(folders, session, staged)
        show({"changes": changes}, changes, as_json=as_json)
        return
    if run is None or organ is None:
        raise typer.BadParameter("Give RUN and --organ, or --staged FILE.")
    with session_of(settings) as session:
        if dry_run:
            show(publishing.describe(folders, session, run, organ=organ, summary=summary), [], as_json=True)
            return
        keyring = Keyring(folders.keys, passphrase_of(settings))
        manifest = publishing.publish(folders, session, keyring, run, organ=organ, summary=summary)
    words = f"Published {manifest.name}: {size_in_words(manifest.weights_bytes)}, SHA-256 {manifest.weights_sha256}."
    show(manifest, [words], as_json=as_json)


@stage_app.command("publish")
def stage_publish(
    run: RunArgument,
    organ: Annotated[str, typer.Option(help="Organ of the release.")],
    out: StagedOption,
    summary: Annotated[str, typer.Option(help="A sentence or two for the people who will use it.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a run in its place as the next release, unseen, and write what is to be signed.

    Carry the file to each key, `sign` it there, carry it back, and `publish --staged` it.

    Examples:
        c2lst-server stage publish mob-small --organ mob --out mob-2.staged
    """
    from c2lst_server.publishing import staging

    settings = settings_of(home)
    with session_of(settings) as session:
        staged = staging.stage_publication(settings.folders, session, run, organ=organ, summary=summary, out=out)
    _show_staged(staged, out, as_json=as_json)


@stage_app.command("withdraw")
def stage_withdraw(
    release: ReleaseArgument,
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    out: StagedOption,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what is to be signed to take a release back.

    Examples:
        c2lst-server stage withdraw mob/1 --reason "Trained on a mislabelled slide." --out withdraw.staged
    """
    from c2lst_server.publishing import staging
    from c2lst_shared.release.targets import split_release

    _show_staged(
        staging.stage_withdrawing(settings_of(home).folders, *split_release(release), reason, out=out), out, as_json=as_json
    )


@stage_app.command("renew")
def stage_renew(out: StagedOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Write the targets and every organ's role, to be signed again before they expire (90 days).

    Examples:
        c2lst-server stage renew --out renew.staged
    """
    from c2lst_server.publishing import staging

    _show_staged(staging.stage_renewal(settings_of(home).folders, out=out), out, as_json=as_json)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="A file of `stage`.")],
    key: Annotated[Path, typer.Option(help="PEM of one of the targets keys.")],
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add one signature to a staged file; needs neither the server nor a network.

    Shows first what the signature says, read from the file itself.

    Examples:
        c2lst-server sign mob-2.staged --key targets-2.pem
    """
    from c2lst_server.publishing import staging

    typer.echo("\n".join(["This signature says:", *staging.read_staged(file).contents()]), err=True)
    _show_staged(staging.add_signature(file, key, passphrase_of(settings_of(None, passphrase_file))), file, as_json=as_json)


@app.command()
def withdraw(
    release: ReleaseArgument,
    reason: Annotated[str, typer.Option(help="Why, in one line; sites will read it.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a release back: sign that it is not to be used any more. Its number is not given again.

    Sites set it aside at their next pull, with the reason, and refuse to work with it.

    Examples:
        c2lst-server withdraw mob/1 --reason "Trained on a mislabelled slide."
    """
    from c2lst_server.actions import Action
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.withdraw import withdraw as withdraw_release
    from c2lst_shared.release.targets import split_release

    settings = settings_of(home, passphrase_file)
    organ, number = split_release(release)
    signed = withdraw_release(settings.folders, Keyring(settings.folders.keys, passphrase_of(settings)), organ, number, reason)
    show(
        {"release": release, "withdrawn": signed},
        [f"{release} is {signed}. Sites set it aside at their next pull."],
        as_json=as_json,
    )
    note_action(settings, Action.WITHDREW, release, reason)


@app.command()
def renew(home: HomeOption = None, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False) -> None:
    """Sign the targets and every organ's role again before they expire (90 days).

    `c2lst-server status` shows when they expire. Snapshot and timestamp are signed by `serve` itself.

    Examples:
        c2lst-server renew
    """
    from c2lst_server.actions import Action
    from c2lst_server.publishing.keys import Keyring
    from c2lst_server.publishing.refresh import renew_targets

    settings = settings_of(home, passphrase_file)
    signed = renew_targets(settings.folders, Keyring(settings.folders.keys, passphrase_of(settings)))
    show({"signed": signed}, [f"Signed again: {', '.join(signed)}."], as_json=as_json)
    note_action(settings, Action.RENEWED, "targets")


@releases_app.command("list")
def list_releases(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all releases.

    Examples:
        c2lst-server releases list
        c2lst-server releases list --json
    """
    from c2lst_server.publishing.catalogue import read_catalogue

    catalogue = read_catalogue(settings_of(home).folders)
    rows = [
        (item.name, f"{item.created:%Y-%m-%d}", item.preset, size_in_words(item.weights_bytes), item.summary)
        for item in catalogue.releases
    ]
    show(catalogue, table(("RELEASE", "CREATED", "PRESET", "SIZE", "SUMMARY"), rows, empty="No release yet."), as_json=as_json)


def _show_staged(staged: Staged, path: Path, *, as_json: bool) -> None:
    counts = {
        role: {"signatures": count, "needed": staged.signers[role].threshold} for role, count in staged.signatures().items()
    }
    complete = all(each["signatures"] >= each["needed"] for each in counts.values())
    following = f"c2lst-server publish --staged {path}" if complete else f"c2lst-server sign {path} --key KEY"
    lines = [f"  {role:<12} {each['signatures']} of {each['needed']} signatures" for role, each in counts.items()]
    show({"file": path, "complete": complete, "roles": counts}, [f"{path}:", *lines, f"Next: {following}"], as_json=as_json)
