"""A migration that ends by kill -9 after the last table was made, in front of the end of its transaction."""

from __future__ import annotations

import os
import signal

from sqlalchemy import Connection

from c2lst_server.db import session
from c2lst_server.settings import Settings


def migrate_and_end(settings: Settings) -> None:
    real, asked = session.revision_of, 0

    def revision_of(connection: Connection) -> str | None:
        nonlocal asked
        asked += 1
        if asked == 2:  # after the tables were made
            os.kill(os.getpid(), signal.SIGKILL)
        return real(connection)

    session.revision_of = revision_of
    session.migrate(settings)
