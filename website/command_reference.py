"""A page about one command line, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click
import typer

from c2lst_shared.command_line import COMMON, blocks, prose


def page(name: str, app: typer.Typer) -> str:
    """Return the page of one command line in Markdown."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)  # noqa: S101
    return "\n\n".join([f"# {name}", *_parts(name, group), *_commands(name, group)]) + "\n"


def _commands(path: str, group: click.Group, depth: int = 2) -> Iterator[str]:
    panel = None
    for name, command in sorted(group.commands.items(), key=lambda item: _panel_order(group, item[1])):
        here = getattr(command, "rich_help_panel", None)
        if depth == 2 and here != panel:
            panel = here
            yield f"## {panel}"
        yield f"{'#' * (depth + 1)} {path} {name}"
        yield from _parts(f"{path} {name}", command)
        if isinstance(command, click.Group):
            yield from _commands(f"{path} {name}", command, depth + 1)


def _panel_order(group: click.Group, command: click.Command) -> int:
    """Panels stand in the order of their first commands."""
    panels = [getattr(each, "rich_help_panel", None) for each in group.commands.values()]
    return panels.index(getattr(command, "rich_help_panel", None))


def _parts(path: str, command: click.Command) -> Iterator[str]:
    """What the help page of a command says: text, usage, options, blocks."""
    yield prose(command)
    context = click.Context(command, info_name=path)
    if not isinstance(command, click.Group):
        yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```"
        yield _options(context, command)
    for title, lines in blocks(command):
        language = "sh" if title == "Examples" else "text"
        yield f"**{title}**\n\n```{language}\n" + "\n".join(lines) + "\n```"


def _options(context: click.Context, command: click.Command) -> str:
    rows = ["| | |", "|---|---|"]
    panel = None
    for parameter in sorted(command.params, key=lambda each: getattr(each, "rich_help_panel", None) == COMMON):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        here = getattr(parameter, "rich_help_panel", None)
        if here != panel:
            rows.append(f"| **{here or 'Options'}** | |")
            panel = here
        spelled, said = (_cell(text) for text in record)
        rows.append(f"| `{spelled}` | {said} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("\\[", "[").replace("|", "\\|")
