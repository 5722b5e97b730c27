"""Commands about keeping this institution's state: backup and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.opening import home_of
from c2lst_client.cli.options import HomeOption
from c2lst_shared.command_line import CommandLine, JsonOption, show

app = CommandLine(panel="This installation")


@app.command()
def backup(
    out: Annotated[Path, typer.Option(help="File to write, for example site-2026-11-26.tar; it may not be there yet.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the state folder to one file on this machine, keys included, also while a worker runs.

    The spots and images themselves are not in it: they stay where `site add` found them. Nothing is sent anywhere.

    Examples:
        c2lst-client backup --out site-2026-11-26.tar
    """
    from c2lst_client.backup import back_up
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = back_up(home_of(home), out, progress)
    lines = [f"Backed up {done.files} files, {done.bytes / 1e6:.1f} MB: {done.out}"]
    if done.left_out:
        lines.append(f"Left out, as it was being worked on: {', '.join(done.left_out)}. Run backup again when that is done.")
    lines.append(
        "It holds this institution's private key and what was made from its data, unencrypted: keep it here, where only you "
        "can read it. The spots and images themselves are not in it."
    )
    show(done, lines, as_json=as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Move what is in the state folder aside.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup into an empty state folder.

    Every file is checked against the backup's own list before anything is changed. Let no two copies of a state folder work at
    once: they hold the same key.

    Examples:
        c2lst-client restore site-2026-11-26.tar
        c2lst-client restore site-2026-11-26.tar --home /srv/c2lst --overwrite
    """
    from c2lst_client.backup import restore as restore_backup
    from c2lst_shared.progress import console_progress

    with console_progress() as progress:
        done = restore_backup(home_of(home), file, overwrite=overwrite, progress=progress)
    lines = [f"Restored {done.home} as it was at {done.made:%Y-%m-%d %H:%M} UTC: {done.files} files."]
    if done.left_out:
        lines.append(f"Not in it, as it was being worked on then: {', '.join(done.left_out)}.")
    if done.before:
        lines.append(f"What was there before is in {done.before}; remove it when nothing of it is needed.")
    lines.append("It has the key of this institution: let no other copy of the folder go on working. Next: c2lst-client doctor")
    show(done, lines, as_json=as_json)
