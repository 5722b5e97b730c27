"""Commands about the keys that sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.opening import note_action, passphrase_of, settings_of
from c2lst_server.cli.options import HomeOption, PassphraseFileOption, table
from c2lst_shared.command_line import CommandLine, JsonOption, show

keys_app = CommandLine(help="The keys that sign: root, targets, snapshot, timestamp.")


@keys_app.command("status")
def show_keys(home: HomeOption = None, passphrase_file: PassphraseFileOption = None, as_json: JsonOption = False) -> None:
    """Show which keys are here, and whether the current root knows them.

    Opens the encrypted ones, so it asks for their passphrase.

    Examples:
        c2lst-server keys status
        c2lst-server keys status --passphrase-file passphrase --json
    """
    from c2lst_server.publishing.rotation import key_states

    settings = settings_of(home, passphrase_file)
    states = key_states(settings.folders, passphrase_of(settings))
    rows = [
        (
            state.name,
            state.role,
            str(state.threshold),
            state.keyid[:16] if state.keyid else "not here",
            ("yes" if state.known else "no") if state.keyid else "-",
        )
        for state in states
    ]
    lines = table(("KEY", "ROLE", "MUST SIGN", "ID", "KNOWN TO THE ROOT"), rows, empty="No key.")
    show([state._asdict() for state in states], lines, as_json=as_json)


@keys_app.command("rotate")
def rotate_key(
    name: Annotated[str, typer.Argument(help="For example targets-2, root-1, snapshot or timestamp.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key that was lost, stolen, or has served its time; sites follow by themselves. Needs two root keys here.

    Make a backup afterwards; one from before is refused by sites that have seen the new root.

    Examples:
        c2lst-server keys rotate targets-2
        c2lst-server keys rotate timestamp --passphrase-file passphrase
    """
    from c2lst_server.actions import Action
    from c2lst_server.publishing.rotation import rotate

    settings = settings_of(home, passphrase_file)
    version = rotate(settings.folders, name, passphrase_of(settings))
    words = f"{name} is a new key; root {version} names it. Keep a copy of the new file, and destroy copies of the old one."
    show({"key": name, "root": version}, [words], as_json=as_json)
    note_action(settings, Action.CHANGED_KEYS, name.partition("-")[0], f"replaced {name}, root {version}")


@keys_app.command("make")
def make_key(
    file: Annotated[Path, typer.Argument(help="Key file to write, encrypted; FILE.pub gets the public half.")],
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key on the machine where it is to rest; no server and no network is needed.

    Examples:
        c2lst-server keys make targets-3.pem
    """
    from c2lst_server.publishing.key_holders import make_apart

    public, keyid = make_apart(file, passphrase_of(settings_of(None, passphrase_file), confirm=True))
    lines = [
        f"Made the key {keyid[:16]}: {file} stays here, {public} goes to the server.",
        f"Next, there: c2lst-server keys add targets {public.name}   (or: keys add root {public.name})",
    ]
    show({"keyid": keyid, "file": file, "public": public}, lines, as_json=as_json)


@keys_app.command("add")
def add_key(
    role: Annotated[str, typer.Argument(help="root or targets.")],
    public: Annotated[Path, typer.Argument(help="The .pub file of a key that was made with `keys make`.")],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let one more key sign for a role; how many must sign stays as it is. Needs two root keys here.

    Examples:
        c2lst-server keys add targets targets-3.pem.pub
    """
    from c2lst_server.actions import Action
    from c2lst_server.publishing.key_holders import add_key as add

    settings = settings_of(home, passphrase_file)
    version = add(settings.folders, role, public, passphrase_of(settings))
    show(
        {"role": role, "root": version},
        [f"Root {version} knows the key for {role}; sites follow by themselves."],
        as_json=as_json,
    )
    note_action(settings, Action.CHANGED_KEYS, role, f"added {public.name}, root {version}")


@keys_app.command("remove")
def remove_key(
    role: Annotated[str, typer.Argument(help="root or targets.")],
    keyid: Annotated[str, typer.Argument(help="Its id as `keys status` shows it.")],
    key: Annotated[list[Path] | None, typer.Option(help="Another key file, repeated, where those here are not enough.")] = None,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key sign no more. Needs two root keys here and, for targets, two that stay.

    Examples:
        c2lst-server keys remove targets 3f9c21d07a54be88
        c2lst-server keys remove targets 3f9c21d07a54be88 --key /media/stick/targets-3.pem
    """
    from c2lst_server.actions import Action
    from c2lst_server.publishing.key_holders import remove_key as remove

    settings = settings_of(home, passphrase_file)
    version = remove(settings.folders, role, keyid, passphrase_of(settings), key or [])
    words = f"Root {version} does not know the key any more. Destroy its copies."
    show({"role": role, "keyid": keyid, "root": version}, [words], as_json=as_json)
    note_action(settings, Action.CHANGED_KEYS, role, f"removed {keyid[:16]}, root {version}")
