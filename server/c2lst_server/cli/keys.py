"""Commands about the keys that sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.options import HomeOption, PassphraseFileOption, note_action, passphrase_of, print_table, settings_of

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
    from c2lst_server.actions import Action
    from c2lst_server.publishing.rotation import rotate

    settings = settings_of(home, passphrase_file)
    version = rotate(settings.folders, name, passphrase_of(settings))
    typer.echo(f"{name} is a new key; root {version} names it. Keep a copy of the new file, and destroy copies of the old one.")
    note_action(settings, Action.CHANGED_KEYS, name.partition("-")[0], f"replaced {name}, root {version}")


@keys_app.command("make")
def make_key(
    file: Annotated[Path, typer.Argument(help="Key file to write, encrypted; FILE.pub gets the public half.")],
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Make a key on the machine where it is to rest; no server and no network is needed."""
    from c2lst_server.publishing.key_holders import make_apart

    public, keyid = make_apart(file, passphrase_of(settings_of(None, passphrase_file), confirm=True))
    typer.echo(f"Made the key {keyid[:16]}: {file} stays here, {public} goes to the server.")
    typer.echo(f"Next, there: c2lst-server keys add targets {public.name}   (or: keys add root {public.name})")


@keys_app.command("add")
def add_key(
    role: Annotated[str, typer.Argument(help="root or targets.")],
    public: Annotated[Path, typer.Argument(help="The .pub file of a key that was made with `keys make`.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Let one more key sign for a role; how many must sign stays as it is. Needs two root keys here."""
    from c2lst_server.actions import Action
    from c2lst_server.publishing.key_holders import add_key as add

    settings = settings_of(home, passphrase_file)
    version = add(settings.folders, role, public, passphrase_of(settings))
    typer.echo(f"Root {version} knows the key for {role}; sites follow by themselves.")
    note_action(settings, Action.CHANGED_KEYS, role, f"added {public.name}, root {version}")


@keys_app.command("remove")
def remove_key(
    role: Annotated[str, typer.Argument(help="root or targets.")],
    keyid: Annotated[str, typer.Argument(help="Its id as `keys status` shows it.")],
    key: Annotated[list[Path] | None, typer.Option(help="Another key file, repeated, where those here are not enough.")] = None,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
) -> None:
    """Let a key sign no more. Needs two root keys here and, for targets, two that stay."""
    from c2lst_server.actions import Action
    from c2lst_server.publishing.key_holders import remove_key as remove

    settings = settings_of(home, passphrase_file)
    version = remove(settings.folders, role, keyid, passphrase_of(settings), key or [])
    typer.echo(f"Root {version} does not know the key any more. Destroy its copies.")
    note_action(settings, Action.CHANGED_KEYS, role, f"removed {keyid[:16]}, root {version}")
