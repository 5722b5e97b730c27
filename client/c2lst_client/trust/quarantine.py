"""Withdrawn releases are set aside, with the reason beside them, and are not loaded any more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from pydantic import ValidationError

from c2lst_client.home import Home
from c2lst_shared import atomic
from c2lst_shared.release.withdrawal import MARK, Withdrawal


def set_aside(home: Home, organ: str, withdrawn: Mapping[int, Withdrawal]) -> list[int]:
    """Move withdrawn releases that are here out of the way, and return their numbers."""
    moved = []
    for number, withdrawal in sorted(withdrawn.items()):
        folder, aside = home.release(organ, number), home.quarantined(organ, number)
        if not folder.exists():
            continue
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
        atomic.write_text(aside / MARK, withdrawal.model_dump_json(indent=1))
        moved.append(number)
    return moved


def why_set_aside(home: Home, organ: str, number: int) -> Withdrawal | None:
    """Return why a release was set aside; None when it was not."""
    try:
        return Withdrawal.model_validate_json((home.quarantined(organ, number) / MARK).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
