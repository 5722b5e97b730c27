"""What several commands share: options, settings, the database session, the passphrase, a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst_server.cli.completion import complete_preset, complete_run, complete_site
from c2lst_shared.command_line import COMMON
from c2lst_shared.logs import LogFormat

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from c2lst_server.actions import Action
    from c2lst_server.settings import Settings

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


def settings_of(home: Path | None, passphrase_file: Path | None = None) -> Settings:
    """Return the settings of the environment with those of the options."""
    from c2lst_server.settings import Settings

    given = {"home": home, "passphrase_file": passphrase_file}
    return Settings().model_copy(update={name: value for name, value in given.items() if value is not None})


@contextmanager
def session_of(settings: Settings) -> Iterator[Session]:
    """Open the database for the body.

    Raises:
        C2lstError: it is locked, full or away.
    """
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.orm import Session

    from c2lst_server.actions import act_as_operator
    from c2lst_server.db.session import open_database, sentences

    engine = open_database(settings)
    try:
        with sentences(engine, "cannot be used now", OperationalError), Session(engine) as session:
            act_as_operator(session)
            yield session
    finally:
        engine.dispose()


def note_action(settings: Settings, action: Action, subject: str, detail: str = "") -> None:
    """Record what a command did that needs no database for itself."""
    from c2lst_server.actions import note

    with session_of(settings) as session:
        note(session, action, subject, detail)
        session.commit()


def passphrase_of(settings: Settings, *, confirm: bool = False) -> Callable[[], str]:
    """Give a function that finds the passphrase when a key is to be opened; people at a terminal are asked."""

    @cache  # asked once, however many keys are opened
    def find() -> str:
        if settings.has_passphrase or not sys.stdin.isatty():
            return settings.read_passphrase()
        answer: str = typer.prompt(
            "Passphrase of the root and targets keys", hide_input=True, confirmation_prompt=confirm, err=True
        )
        return answer

    return find


def size_in_words(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, empty: str) -> list[str]:
    """Return the lines of a table, or what to say when there are no rows."""
    if not rows:
        return [empty]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in [titles, *rows]]
