"""Both command lines as a reader of a page meets them: every command there is, and whether what is typed would be taken."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import typer

from c2lst_client.cli import app as client
from c2lst_server.cli import app as server

ACT_WHILE_PARSED = ("--help", "--install-completion", "--show-completion")
LINES: dict[str, click.Group] = {}
for name, app in (("c2lst-client", client), ("c2lst-server", server)):
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    LINES[name] = group


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what is typed to reach it."""
    for name, group in LINES.items():
        yield from _below(name, group)


def groups() -> Iterator[tuple[str, click.Group]]:
    """Every group of commands, the two whole command lines among them."""
    for name, group in LINES.items():
        yield name, group
        yield from ((f"{name} {sub}", each) for sub, each in group.commands.items() if isinstance(each, click.Group))


def parse(line: str) -> click.Context:
    """Let click parse a line without running it.

    Raises:
        click.UsageError: there is no such command or option, something is missing, or a value is of the wrong kind.
    """
    name, *words = (word for word in shlex.split(line, comments=True) if word not in ACT_WHILE_PARSED)
    command: click.Command = LINES[name]
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group):
        if not words:
            return context
        sub = command.get_command(context, words[0])
        if sub is None:
            raise click.UsageError(f"There is no command {words[0]!r} in {context.command_path!r}.")
        context = click.Context(sub, info_name=words[0], parent=context)
        command, words = sub, words[1:]
    if "--help" in line:
        return context
    return command.make_context(context.info_name, words, parent=context.parent)


def _below(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _below(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command
