"""Commands about administrators of the interface."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from c2lst_server.cli.options import HomeOption, JsonOption, print_table, session_of, settings_of

admins_app = typer.Typer(no_args_is_help=True, help="Who may steer the service over HTTP: named tokens with scopes.")


@admins_app.command("add")
def add_administrator(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    scope: Annotated[
        list[str],
        typer.Option(
            help="What the token allows, repeated: sites:read, sites:write, trainings:read, trainings:write, rounds:read, "
            "rounds:write, actions:read; or read for all that only read, all for all."
        ),
    ],
    days: Annotated[int, typer.Option(help="How long it works, 365 at most.")] = 90,
    home: HomeOption = None,
) -> None:
    """Make a token and print it, this once. Repeat to replace a token that was lost or seen by others."""
    from c2lst_server import administrators

    scopes = administrators.scopes_of(scope)
    with session_of(settings_of(home)) as session:
        token = administrators.add(session, name, scopes, days=days)
    typer.echo(f"Token of {name} for {', '.join(scopes)}, {days} days; it is not kept here and not shown again:", err=True)
    typer.echo(token)


@admins_app.command("list")
def list_administrators(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List administrators and what they may do."""
    from c2lst_server import administrators

    with session_of(settings_of(home)) as session:
        found = administrators.list_administrators(session)
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=1))
        return
    rows = [(one.name, " ".join(one.scopes), f"{one.added:%Y-%m-%d}", f"{one.expires:%Y-%m-%d}") for one in found]
    print_table(("NAME", "SCOPES", "ADDED", "EXPIRES"), rows, empty="No administrator yet.")


@admins_app.command("remove")
def remove_administrator(name: str, home: HomeOption = None) -> None:
    """Make an administrator's token void, at once."""
    from c2lst_server import administrators

    with session_of(settings_of(home)) as session:
        administrators.remove(session, name)
    typer.echo(f"The token of {name} is void.")
