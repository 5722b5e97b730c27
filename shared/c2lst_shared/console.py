"""How both command lines end: an error becomes one sentence on standard error and an exit code, nothing on standard output."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import click
import typer
from rich.console import Console

from c2lst_shared.errors import BadInput, C2lstError, NoSpace

FULL = {errno.ENOSPC, errno.EDQUOT}


def run(app: typer.Typer) -> NoReturn:
    """Run a command line and exit with its code (`c2lst_shared.errors.EXIT_CODES`)."""
    try:
        code = app(standalone_mode=False)
    except C2lstError as error:
        _end(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        message = error.format_message()
        _end(f"{message}{'' if message.endswith(('.', '?', ')')) else '.'} {_help_of(error)}", BadInput.exit_code)
    except click.ClickException as error:
        _end(error.format_message(), BadInput.exit_code)
    except (click.Abort, EOFError):
        Console(stderr=True).print("Nothing was done.", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.", highlight=False)
        sys.exit(130)
    except OSError as error:
        _end_of_os_error(error)
    except Exception as error:
        _end_unexpected(error)
    sys.exit(code or 0)


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
    typer.confirm(question, abort=True, err=True)


def _end(sentence: str, code: int) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {_plain(sentence)}", highlight=False)
    sys.exit(code)


def _end_of_os_error(error: OSError) -> NoReturn:
    """What the machine refuses is no fault of ours."""
    if error.errno in FULL:
        place = f" of {error.filename}" if error.filename else ""
        _end(f"The disk{place} is full; make room and run the same command again.", NoSpace.exit_code)
    if error.filename and isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
        _end(f"{error.filename}: {error.strerror}. Give another path, or change what its owner allows.", BadInput.exit_code)
    _end_unexpected(error)


def _end_unexpected(error: Exception) -> NoReturn:
    traceback.print_exc()  # without the values of variables, which may be a site's data
    _end(f"{type(error).__name__}: c2lst did not expect this; please report it with the lines above.", 1)


def _help_of(error: click.UsageError) -> str:
    """Where to look what a command takes."""
    command = error.ctx.command_path if error.ctx else Path(sys.argv[0]).name
    return f"See `{command} --help`."


def _plain(text: str) -> str:
    """`text` without markup and control characters: names in it may come from anywhere."""
    from rich.markup import escape

    return escape("".join(character for character in text if character.isprintable() or character == " "))
