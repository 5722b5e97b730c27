"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst_client.cli.completion import complete_round, complete_site
from c2lst_shared.command_line import COMMON
from c2lst_shared.logs import LogFormat

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="State folder (C2LST_HOME); ~/.local/share/c2lst by default.", rich_help_panel=COMMON),
]
SiteOption = Annotated[str, typer.Option(help="Name of the site, as given to `site add`.", autocompletion=complete_site)]
RoundArgument = Annotated[
    str,
    typer.Argument(metavar="ROUND", help="Its identifier, or an unambiguous beginning of it.", autocompletion=complete_round),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what was made with other settings.")]
LogFormatOption = Annotated[LogFormat, typer.Option(help="Of the lines that are logged: text or json.")]
MetricsPortOption = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at this port of loopback; not at all without it.")
]
