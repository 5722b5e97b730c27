"""Commands about administrators of the interface."""

from __future__ import annotations

from typing import Annotated

import typer

from c2lst_server.cli.completion import complete_administrator
from c2lst_server.cli.opening import session_of, settings_of
from c2lst_server.cli.options import HomeOption, table
from c2lst_shared.command_line import CommandLine, JsonOption, show

admins_app = CommandLine(help="Who may steer the service over HTTP: named tokens with scopes.")


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
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it, this once. Repeat to replace a token that was lost or seen by others.

    Only the token goes to standard output, so that it can be led into a file of the owner's alone.

    Examples:
        c2lst-server admins add alice --scope sites:read --scope sites:write
        c2lst-server admins add watcher --scope trainings:read --days 30
    """
    from c2lst_server import administrators

    scopes = administrators.scopes_of(scope)
    with session_of(settings_of(home)) as session:
        token = administrators.add(session, name, scopes, days=days)
    typer.echo(f"Token of {name} for {', '.join(scopes)}, {days} days; it is not kept here and not shown again:", err=True)
    show({"name": name, "scopes": scopes, "days": days, "token": token}, [token], as_json=as_json)


@admins_app.command("list")
def list_administrators(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List administrators and what they may do.

    Examples:
        c2lst-server admins list
    """
    from c2lst_server import administrators

    with session_of(settings_of(home)) as session:
        found = administrators.list_administrators(session)
    rows = [(one.name, " ".join(one.scopes), f"{one.added:%Y-%m-%d}", f"{one.expires:%Y-%m-%d}") for one in found]
    show(found, table(("NAME", "SCOPES", "ADDED", "EXPIRES"), rows, empty="No administrator yet."), as_json=as_json)


@admins_app.command("remove")
def remove_administrator(
    name: Annotated[str, typer.Argument(help="As in `admins list`.", autocompletion=complete_administrator)],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an administrator's token void, at once.

    Examples:
        c2lst-server admins remove alice
    """
    from c2lst_server import administrators

    with session_of(settings_of(home)) as session:
        administrators.remove(session, name)
    show({"removed": name}, [f"The token of {name} is void."], as_json=as_json)
