"""`--watch`: following something in the database until it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import typer

from c2lst_shared.errors import Interrupted
from c2lst_shared.stopping import stop_on_signal, wait_unless

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

WATCH_SECONDS = 2.0

View = TypeVar("View")


def follow(session: Session, look: Callable[[], View], *, over: Callable[[View], bool], line: Callable[[View], str]) -> View:
    """Look again and again until it is over, and print a line whenever that has changed; return how it ended.

    Raises:
        Interrupted: stopped looking, by Ctrl-C or SIGTERM.
    """
    said = ""
    with stop_on_signal() as stop:
        while not over(found := look()):
            if (now := line(found)) != said:
                typer.echo(now)
                said = now
            wait_unless(stop, WATCH_SECONDS)
            if stop():
                raise Interrupted("Stopped looking; what was looked at goes on.")
            session.expire_all()
            session.rollback()
    return found
