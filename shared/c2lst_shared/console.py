"""What both command lines share: errors become one sentence and an exit code; nothing else is printed about them."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

import typer
from rich.console import Console

from c2lst_shared.errors import BadInput, C2lstError, NoSpace

FULL = {errno.ENOSPC, errno.EDQUOT}


def run(app: typer.Typer) -> None:
    """Run a command line; an error of our own ends it with its sentence on standard error and its exit code."""
    try:
        app()
    except C2lstError as error:
        _end(error)
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = f" of {error.filename}" if error.filename else ""
        _end(NoSpace(f"The disk{place} is full; make room and run the same command again."))
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.", highlight=False)
        sys.exit(130)


def confirm(question: str, *, instead: str) -> None:
    """Ask on the terminal, and go on only after a yes.

    Args:
        question: to be answered with y or n.
        instead: the option that a script passes, which cannot be asked.

    Raises:
        BadInput: there is no terminal to ask on.
        typer.Abort: the answer was no.
    """
    if not sys.stdin.isatty():
        raise BadInput(f"There is no terminal to ask {question!r} on; pass {instead} to agree beforehand.")
    typer.confirm(question, abort=True)


def _end(error: C2lstError) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {_plain(str(error))}", highlight=False)
    sys.exit(error.exit_code)


def _plain(text: str) -> str:
    """`text` without markup and control characters: names in it may come from anywhere."""
    from rich.markup import escape

    return escape("".join(character for character in text if character.isprintable() or character == " "))
