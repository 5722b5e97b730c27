"""Options and arguments that several commands have, and how they show numbers and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from c2lst_server.cli.completion import complete_preset, complete_run, complete_site
from c2lst_shared.command_line import COMMON
from c2lst_shared.logs import LogFormat

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="State folder (C2LST_SERVER_HOME); ~/.local/share/c2lst-server by default.", rich_help_panel=COMMON
    ),
]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option(
        help="File whose first line is the passphrase of the keys; else C2LST_SERVER_PASSPHRASE, or you are asked.",
        rich_help_panel=COMMON,
    ),
]
LogFormatOption = Annotated[LogFormat, typer.Option(help="Of the lines on standard error: text or json.")]
PresetOption = Annotated[
    str,
    typer.Option(help="tiny (a CPU in minutes), small (a CPU in an hour) or paper (a GPU).", autocompletion=complete_preset),
]
RunArgument = Annotated[str, typer.Argument(help="Name of a finished run.", autocompletion=complete_run)]
SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="Name of the site.", autocompletion=complete_site)]


def size_in_words(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, empty: str) -> list[str]:
    """Return the lines of a table, or what to say when there are no rows."""
    if not rows:
        return [empty]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [titles, *rows]]
