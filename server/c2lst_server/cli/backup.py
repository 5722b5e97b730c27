"""Commands about keeping the service's state: backup and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import settings_of
from c2lst_server.cli.options import HomeOption, size_in_words
from c2lst_shared.command_line import CommandLine, JsonOption, show

app = CommandLine(panel="The service")


@app.command()
def backup(
    out: Annotated[Path, typer.Option(help="File to write, for example c2lst-2026-11-26.tar; it may not be there yet.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write database, releases, runs and online keys to one file, while the service runs; never the root and targets keys.

    Daily is a good rule, and after every `publish`, `withdraw`, `keys` and `sites` command that matters (docs/operations.md).

    Examples:
        c2lst-server backup --out c2lst-2026-11-26.tar
    """
    from c2lst_server.backup import back_up
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = back_up(settings_of(home), out, progress)
    lines = [
        f"Backed up {done.files} files, {size_in_words(done.bytes)}: {done.out}",
        f"Releases: {', '.join(done.releases) or 'none yet'}. Runs: {', '.join(done.runs) or 'none yet'}.",
        "It holds the snapshot and timestamp keys unencrypted: keep it where only you can read it. The root and targets keys "
        "are not in it; keep copies of them elsewhere.",
    ]
    show(done, lines, as_json=as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the database, and move what is in the home aside.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty home and database, and sign its metadata so that sites take it for the newest.

    Stop `serve` and `superlink` first. docs/operations.md says what sites see afterwards.

    Examples:
        c2lst-server restore c2lst-2026-11-26.tar
        c2lst-server restore c2lst-2026-11-26.tar --overwrite
    """
    from c2lst_server.restore import restore as restore_backup
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = restore_backup(settings_of(home), file, overwrite=overwrite, progress=progress)
    lines = [
        f"Restored {done.home} as it was at {done.made:%Y-%m-%d %H:%M} UTC: {done.files} files.",
        f"Releases: {', '.join(done.releases) or 'none yet'}.",
    ]
    if done.migrated_from:
        lines.append(f"The tables were at version {done.migrated_from} and were brought up to date.")
    if done.before:
        lines.append(f"What was there before is in {done.before}; remove it when nothing of it is needed, such as keys.")
    lines += [
        "What happened since then is undone: look at `c2lst-server sites list` and `admins list`.",
        "If releases were published or withdrawn since, sites that saw it refuse this state until you put the root and targets "
        "keys back into the keys folder and publish or withdraw again, or run `c2lst-server renew`.",
    ]
    if done.not_signed:
        lines.append(f"The metadata could not be signed anew. {done.not_signed}")
    show(done, [*lines, "Next: c2lst-server serve"], as_json=as_json)
