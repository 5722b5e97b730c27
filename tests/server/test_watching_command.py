"""What is followed with `--watch` is left alone by who looks, however the looking ends."""

import signal

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from c2lst_server.cli import watching
from c2lst_shared.errors import Interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_looking_with_the_code_of_a_stop(number, capsys):
    def look():
        signal.raise_signal(number)
        return "training"

    with Session(create_engine("sqlite://")) as session, pytest.raises(Interrupted) as stopped:
        watching.follow(session, look, over=lambda view: view == "over", line=str)
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().out == "training\n"


def test_changes_are_said_once_each(monkeypatch, capsys):
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0)
    seen = iter(["queued", "queued", "training", "over"])
    with Session(create_engine("sqlite://")) as session:
        ended = watching.follow(session, lambda: next(seen), over=lambda view: view == "over", line=str)
    assert ended == "over"
    assert capsys.readouterr().out == "queued\ntraining\n"
