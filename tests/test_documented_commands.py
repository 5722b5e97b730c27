"""Every command that README and docs name exists, and its options do; those in blocks are run besides (test_pages.py)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from fakes.shell_blocks import mentioned, typed
from fakes.typed_commands import LINES, parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_blocks_parse(page):
    for line in typed(page):
        if line.startswith("make "):
            goals = [word for word in shlex.split(line)[1:] if "=" not in word]
            assert set(goals) <= TARGETS, line
            continue
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_sentences_exist_with_their_options(page):
    for line in mentioned(page):
        assert not unknown(line), line


def unknown(line: str) -> list[str]:
    """The words of a line that are no command or no option; what is not said is not missed."""
    name, *words = line.split()
    for place, word in enumerate(words):
        if "|" in word:  # add|list|remove are three commands of one group
            return [each for one in word.split("|") for each in unknown(shlex.join([name, *words[:place], one]))]
    command: click.Command = LINES[name]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[:1]
        command, words = command.commands[words[0]], words[1:]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    return [word for word in words if word.startswith("--") and word not in options]


def test_a_wrong_option_is_noticed():
    assert unknown("c2lst-client adapt --sites rep11") == ["--sites"]
    assert unknown("c2lst-client adopt --site rep11") == ["adopt"]
    assert unknown("c2lst-server admins add|lists") == ["lists"]
    assert unknown("c2lst-server stage publish RUN --out FILE") == []
    assert len(list(typed(ROOT / "docs" / "operations.md"))) > 10
