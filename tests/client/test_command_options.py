"""What is typed after a command is what its step is asked for, each word in its place."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from c2lst_client import cli
from c2lst_client.options import AdaptOptions, SampleOptions, StudyOptions


class Asked(Exception):
    """Carries what a step was asked for out of the command."""


class Listener:
    """A journey that goes nowhere: every step raises its options."""

    def adapt(self, options, *_, **__):
        raise Asked(options)

    synthesise = evaluate = plan_study = study = adapt


@pytest.fixture
def asked(monkeypatch):
    @contextmanager
    def listener(*_):
        yield Listener()

    for module in (cli.steps, cli.study):
        monkeypatch.setattr(module, "journey_of", listener)

    def ask(*words):
        outcome = CliRunner().invoke(cli.app, [*words, "--site", "demo"])
        assert isinstance(outcome.exception, Asked), outcome.output
        return outcome.exception.args[0]

    return ask


def test_adapt(asked):
    words = "adapt --release mob/3 --fraction 0.4 --split blocked --genes 17 --steps 6 --seed 5 --dp-epsilon 8 --dp-delta 0.01"
    assert asked(*words.split(), "--overwrite") == AdaptOptions(
        release="mob/3",
        fraction=0.4,
        split="blocked",
        genes=17,
        steps=6,
        seed=5,
        overwrite=True,
        dp_epsilon=8.0,
        dp_delta=0.01,
    )


@pytest.mark.parametrize("command", ["synthesise", "evaluate"])
def test_sampling(asked, command):
    words = "--guidance 2.5 --steps 9 --sampler ddim --seed 4 --overwrite"
    wanted = SampleOptions(guidance=2.5, steps=9, sampler="ddim", seed=4, overwrite=True)
    assert asked(command, *words.split()) == wanted


def test_study(asked):
    words = "study --release mob/3 --fraction 0.1 --fraction 0.25 --ratio 3 --repeats 2 --seeds 4 --epochs 7"
    assert asked(*words.split(), "--main-repeats", "5", "--encoder", "here.pt", "--hovernet", "nuclei.pth") == StudyOptions(
        release="mob/3",
        fractions=(0.1, 0.25),
        ratios=(3,),
        repeats=2,
        main_repeats=5,
        seeds=4,
        epochs=7,
        encoder=Path("here.pt"),
        hovernet=Path("nuclei.pth"),
    )
