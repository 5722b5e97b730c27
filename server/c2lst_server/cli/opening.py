"""What commands open before they do anything: settings, the database, and the keys' passphrase."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from c2lst_server.actions import Action
    from c2lst_server.settings import Settings


def settings_of(home: Path | None, passphrase_file: Path | None = None) -> Settings:
    """Return the settings of the environment with those of the options."""
    from c2lst_server.settings import Settings

    given = {"home": home, "passphrase_file": passphrase_file}
    return Settings().model_copy(update={name: value for name, value in given.items() if value is not None})


@contextmanager
def session_of(settings: Settings) -> Iterator[Session]:
    """Open the database for the body.

    Raises:
        C2lstError: it is locked, full or away.
    """
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.orm import Session

    from c2lst_server.actions import act_as_operator
    from c2lst_server.db.session import open_database, sentences

    engine = open_database(settings)
    try:
        with sentences(engine, "cannot be used now", OperationalError), Session(engine) as session:
            act_as_operator(session)
            yield session
    finally:
        engine.dispose()


def note_action(settings: Settings, action: Action, subject: str, detail: str = "") -> None:
    """Record what a command did that needs no database for itself."""
    from c2lst_server.actions import note

    with session_of(settings) as session:
        note(session, action, subject, detail)
        session.commit()


def passphrase_of(settings: Settings, *, confirm: bool = False) -> Callable[[], str]:
    """Give a function that finds the passphrase when a key is to be opened; people at a terminal are asked."""

    @cache  # asked once, however many keys are opened
    def find() -> str:
        if settings.has_passphrase or not sys.stdin.isatty():
            return settings.read_passphrase()
        answer: str = typer.prompt(
            "Passphrase of the root and targets keys", hide_input=True, confirmation_prompt=confirm, err=True
        )
        return answer

    return find
