"""What the documents name exists."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from c2lst_shared import wire

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
