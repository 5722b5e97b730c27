"""The command that opens the console: pages in a browser about this installation."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from c2lst_client.cli.opening import settings_of
from c2lst_client.cli.options import HomeOption, LogFormatOption
from c2lst_shared.command_line import CommandLine, JsonOption, show
from c2lst_shared.logs import LogFormat

app = CommandLine(panel="This installation")


@app.command()
def console(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen on this machine.")] = 8470,
    host: Annotated[str, typer.Option(help="Address of loopback to listen on.")] = "127.0.0.1",
    in_container: Annotated[
        bool,
        typer.Option("--in-container", help="Listen on all addresses of a container, whose port is published at 127.0.0.1."),
    ] = False,
    show_token: Annotated[bool, typer.Option("--show-token", help="Print the token that opens the console, and end.")] = False,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Make another token; the former one and all sessions end.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show rounds, policy, slides, what left and doctor in a browser on this machine, until stopped.

    The page asks for a token, which is made at the first start. On a terminal it is printed beside the address; anywhere else
    --show-token prints it. Other machines cannot reach the console: use an SSH tunnel (docs/console.md).

    Examples:
        c2lst-client console
        c2lst-client console --port 9000
        c2lst-client console --show-token
        c2lst-client console --new-token --show-token
    """
    from c2lst_client.console.access_token import read_token
    from c2lst_client.console.serve import Place, serve
    from c2lst_shared.logs import write_logs

    settings = settings_of(home)
    if show_token:
        token = read_token(settings.folders, renew=new_token)
        show({"token": token}, [token], as_json=as_json)
        return
    place = Place(port, host, in_container)

    def ready(token: str) -> None:
        if as_json:
            typer.echo(json.dumps({"address": place.address, "token_file": str(settings.folders.console_token)}))
            return
        typer.echo(f"Console: {place.address}")
        typer.echo(f"Token:   {token}" if sys.stdout.isatty() else "Token:   c2lst-client console --show-token")

    write_logs(log_format, plain_errors=True)
    serve(settings, place, new_token=new_token, ready=ready)
