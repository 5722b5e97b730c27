"""The look of both command lines: help pages with grouped options and examples, `--json` in one way, shell completion.

A command's docstring is its help page. Blocks such as `Examples:` and `Exit codes:` are printed as they are written, after
the options; a test runs every example through the parser.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from importlib.metadata import version
from textwrap import dedent
from typing import Annotated, Any

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.models import CommandFunctionType

from c2lst_shared.errors import EXIT_CODES

COMMON = "Common options"
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.", rich_help_panel=COMMON)]

_WIDTH = 100  # columns at most: longer lines are hard to read
_BLOCK = re.compile(r"^([A-Z][\w ]+):\n((?:[ ]+\S.*(?:\n|$)|\n(?=[ ]))+)", re.MULTILINE)


def show(result: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a command did or found: one JSON document for scripts, or lines for people.

    Args:
        result: a pydantic model, or lists and mappings of such, of numbers, texts, times and paths.
        lines: the same in words.
        as_json: whether `--json` was given.
    """
    if as_json:
        from pydantic_core import to_json

        typer.echo(to_json(result, indent=1).decode())
        return
    for line in lines:
        typer.echo(line)


def prose(command: click.Command) -> str:
    """Return what a command's help page says before its options."""
    return _BLOCK.sub("", command.help or "").strip()


def blocks(command: click.Command) -> list[tuple[str, list[str]]]:
    """Return the titled blocks of a command's help page, each with its lines as they are written."""
    return [(title, dedent(text).strip("\n").splitlines()) for title, text in _BLOCK.findall(command.help or "")]


def examples(command: click.Command) -> list[str]:
    """Return the example lines of a command's help page."""
    return [line for line in dict(blocks(command)).get("Examples", []) if line]


def exit_codes() -> str:
    """Return the block of a help page that says what exit codes mean."""
    return "\n".join(["Exit codes:", *(f"  {code:<5}{meaning}" for code, meaning in EXIT_CODES.items())])


Complete = Callable[[typer.Context, str], list[str]]


def completion(find: Callable[[typer.Context], Iterable[str]]) -> Complete:
    """Make a shell completion of a function that lists what there is; when that fails, nothing is offered."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return sorted({name for name in find(ctx) if name.startswith(incomplete)})
        except Exception:  # somebody is in the middle of typing: no error may be printed, whatever is wrong
            return []

    return complete


class HelpPage(TyperCommand):
    """A command whose options stand in groups, and whose examples stand after them; it takes what TyperCommand takes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _restore_help(self)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does."""
        _write_text(self, formatter)

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: arguments stand among the options' groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments and options, group by group."""
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and other blocks."""
        _write_blocks(self, formatter)


class HelpGroup(TyperGroup):
    """The same for a group of commands, each of which is described by a whole sentence."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the group is about."""
        _write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options: whoever asks a group for help looks for a command."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append((name, command.get_short_help_str(limit=10_000)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples and other blocks."""
        _write_blocks(self, formatter)


class CommandLine(typer.Typer):
    """A Typer whose commands have such pages.

    Args:
        panel: the heading under which the group above lists these commands.
        options: what Typer takes.
    """

    def __init__(self, *, panel: str | None = None, **options: Any) -> None:
        usual: dict[str, Any] = {
            "cls": HelpGroup,
            "no_args_is_help": True,
            "rich_markup_mode": None,
            "suggest_commands": False,  # click does so itself
            "pretty_exceptions_enable": False,  # they print the values of variables, which may be a site's data
            "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
        }
        super().__init__(**(usual | options))
        self._panel = panel

    def command(self, *arguments: Any, **options: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Register a command; as `typer.Typer.command`."""
        usual: dict[str, Any] = {"cls": HelpPage}
        if self._panel is not None:
            usual["rich_help_panel"] = self._panel
        return super().command(*arguments, **(usual | options))


def with_version(app: CommandLine) -> None:
    """Give a whole command line `--version`."""

    @app.callback()
    def say_version(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=_say_version,
                is_eager=True,
                help="Say which version this is.",
                rich_help_panel=COMMON,
            ),
        ] = False,
    ) -> None:
        pass


def _say_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(f"{ctx.find_root().info_name} {version('c2lst')}")
        raise typer.Exit


def _restore_help(command: click.Command) -> None:
    """Give arguments their help: Typer before 0.21 sets it, and click since 8.5 takes it away again."""
    written = inspect.signature(command.callback, eval_str=True).parameters if command.callback else {}
    for parameter in command.params:
        if isinstance(parameter, TyperArgument) and parameter.name in written:
            for said in getattr(written[parameter.name].annotation, "__metadata__", ()):
                parameter.help = parameter.help or getattr(said, "help", None)


def _write_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(prose(command))


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    common: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        record = (record[0], record[1].replace("\\[", "["))  # Typer escapes what rich would take for markup
        panel = getattr(parameter, "rich_help_panel", None)
        if panel == COMMON or {"--help", "--install-completion", "--show-completion"}.intersection(parameter.opts):
            common.append(record)
        else:
            usual = "Arguments" if isinstance(parameter, click.Argument) else "Options"
            panels.setdefault(panel or usual, []).append(record)
    for panel, records in (panels | {COMMON: common}).items():
        if records:
            with formatter.section(panel):
                formatter.write_dl(records)


def _write_blocks(command: click.Command, formatter: click.HelpFormatter) -> None:
    for title, lines in blocks(command):
        with formatter.section(title):
            for line in lines:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
