"""What the documents name exists."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from c2lst_shared import wire
from c2lst_shared.errors import EXIT_CODES

ROOT = Path(__file__).parents[1]


def test_every_attack_in_the_table_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    existing = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 50
    assert named <= existing


def rows(document: str, heading: str) -> dict[str, list[str]]:
    """The table under a heading row: first cell -> the words in code of its last cell, in their order."""
    table = (ROOT / "docs" / document).read_text().split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {first.strip("`"): re.findall(r"`([^`]+)`", rest[-1]) for first, *rest in cells}


def test_table_of_messages_is_that_of_the_code() -> None:
    kinds = {*wire.RoundRequest.__subclasses__(), *wire.RoundAnswer.__subclasses__()}
    assert rows("federation.md", "message") == {kind.__name__: list(kind.model_fields) for kind in kinds}


def test_table_of_words_is_that_of_the_code() -> None:
    for name, words in rows("federation.md", "list").items():
        assert words == list(typing.get_args(getattr(wire, name))), name


def test_table_of_the_policy_is_that_of_the_code() -> None:
    from c2lst_client.rounds.policy import Policy

    assert set(rows("federation.md", "field of the policy")) == set(Policy.model_fields)


def test_table_of_exit_codes_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    told = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE)}
    assert told == EXIT_CODES


def test_messages_that_tutorials_quote_are_in_the_code() -> None:
    sides = [path.read_text() for side in ("client", "server", "shared") for path in (ROOT / side).rglob("*.py")]
    for page in (ROOT / "docs" / "tutorials").glob("*.md"):
        for message in re.findall(r'^\| "([^"]+)"', page.read_text(), re.MULTILINE):
            assert any(message in text for text in sides), f"{page.name}: {message}"
