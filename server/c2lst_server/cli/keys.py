"""Commands about the keys that sign."""

from __future__ import annotations

from typing import Annotated

import typer

from c2lst_server.cli.options import HomeOption, PassphraseFileOption, passphrase_of, print_table, settings_of

keys_app = typer.Typer(no_args_is_help=True, help="The keys that sign: root, targets, snapshot, timestamp.")


@keys_app.command("status")
def show_keys(home: HomeOption = None, passphrase_file: PassphraseFileOption = None) -> None:
    """Show which keys are here, and whether the current root knows them."""
    from c2lst_server.publishing.rotation import key_states

    settings = settings_of(home, passphrase_file)
    rows = [
        (
            state.name,
            state.role,
            str(state.threshold),
            state.keyid[:16] if state.keyid else "not here",
            ("yes" if state.known else "no") if state.keyid else "-",
        )
        for state in key_states(settings.folders, passphrase_of(settings))
    ]
    print_table(("KEY", "ROLE", "MUST SIGN", "ID", "KNOWN TO THE ROOT"), rows, empty="No key.")


@keys_app.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(help="For example targets-2, root-1, snapshot or timestamp.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Replace a key that was lost, stolen, or has served its time; sites follow by themselves. Needs two root keys here."""
    from c2lst_server.publishing.rotation import rotate

    settings = settings_of(home, passphrase_file)
    version = rotate(settings.folders, name, passphrase_of(settings))
    typer.echo(f"{name} is a new key; root {version} names it. Keep a copy of the new file, and destroy copies of the old one.")
