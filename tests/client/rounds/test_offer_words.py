"""What a round asks for and sends, in words: nothing is left out, and the commands are ones that there are."""

from __future__ import annotations

import shlex

import click
import pytest
import typer.main
from fakes.round_site import offer

from c2lst_client.cli import app
from c2lst_client.rounds.declared_numbers import RESULT, STATUS, leaving
from c2lst_client.rounds.offer_words import commands, sentences
from c2lst_client.rounds.policy import Policy
from c2lst_client.rounds.policy_words import policy_words
from c2lst_shared.wire import ArmResult, RoundResult, RoundStatus

FULL = offer(genes=250, evaluate=True, cotrain=True, seeds=3, ratios=(2, 5), split="blocked", seed=7)


def test_every_field_that_leaves_is_described() -> None:
    plain = {declared.field for declared in RESULT if "." not in declared.field}
    parts = {declared.field.removeprefix("arms.") for declared in RESULT if declared.field.startswith("arms.")}
    assert plain | {"arms"} == set(RoundResult.model_fields)
    assert parts == set(ArmResult.model_fields)
    assert {declared.field for declared in STATUS} == set(RoundStatus.model_fields)


def test_what_the_policy_withholds_or_nobody_asked_for_does_not_leave() -> None:
    bare = {each.declared.field: each.fate for each in leaving(offer(), Policy())}
    assert bare["conditioning_r"] == bare["arms.mae"] == "not_asked"
    assert bare["denoising_loss"] == bare["seconds"] == "sent"
    kept = {each.declared.field: each.fate for each in leaving(FULL, Policy(withhold=("spots", "mae")))}
    assert {field for field, fate in kept.items() if fate == "withheld"} == {"train_spots", "held_out_spots", "arms.mae"}


def test_commands_are_those_of_this_client_with_the_options_of_the_offer() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    asked: dict[str, dict[str, object]] = {}
    for line in commands(FULL, "rep11"):
        program, name, *words = shlex.split(line)
        assert program == "c2lst-client"
        asked[name] = group.commands[name].make_context(name, words).params
    assert list(asked) == ["adapt", "evaluate", "synthesise", "cotrain"]
    wanted = {"site": "rep11", "release": "mob/1", "fraction": 0.5, "split": "blocked", "genes": 250, "steps": 6, "seed": 7}
    assert asked["adapt"].items() >= wanted.items()
    assert asked["synthesise"]["per_spot"] == 5
    assert (asked["cotrain"]["seeds"], asked["cotrain"]["ratio"]) == (3, (2, 5))


@pytest.mark.parametrize(("asked", "count"), [({}, 4), ({"evaluate": True}, 5), ({"cotrain": True}, 6)])
def test_sentences_have_a_step_for_each_part(asked: dict[str, object], count: int) -> None:
    assert len(sentences(offer(**asked))) == count


def test_policy_in_words_has_every_field() -> None:
    assert set(policy_words(Policy())) == set(Policy.model_fields)
