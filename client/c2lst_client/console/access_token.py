"""The console's own token: made at the first start, kept in the state folder, readable by its owner alone."""

from __future__ import annotations

import re
import secrets

from c2lst_client.home import Home
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")  # of 32 random bytes
PRIVATE = 0o600


def read_token(home: Home, *, renew: bool = False) -> str:
    """Return the token, made when there is none yet.

    Args:
        home: the state folder.
        renew: make another one; the former opens nothing any more, and every session ends.

    Raises:
        BadArtefact: the file holds no token, or others may read it.
    """
    path = home.console_token
    if renew or not path.exists():
        token = secrets.token_urlsafe(32)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_text(path, f"{token}\n", mode=PRIVATE)
        return token
    if path.stat().st_mode & 0o077:
        raise BadArtefact(f"Others can read {path}; make another token with `c2lst-client console --new-token`.")
    token = path.read_text(errors="replace").strip()
    if not _FORM.fullmatch(token):
        raise BadArtefact(f"{path} holds no token; make another one with `c2lst-client console --new-token`.")
    return token
