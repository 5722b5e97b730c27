"""What this institution has seen, so that nobody can take it back in time: the latest moment, each organ's newest release.

python-tuf remembers the versions of the metadata in its cache; this outlives the cache.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from c2lst_client.home import Home
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact, BadInput

TOLERANCE = timedelta(hours=1)  # by which a clock may go back: it is set right now and then


class Seen(BaseModel):
    """The record in `trust/seen.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clock: AwareDatetime | None = None
    newest: dict[str, int] = Field(default_factory=dict)  # organ -> highest number of a release, withdrawn ones too


def load_seen(home: Home) -> Seen:
    """Return what was seen; nothing yet before the first pull.

    Raises:
        BadArtefact: the record is damaged.
    """
    try:
        return Seen.model_validate_json(home.seen.read_bytes())
    except FileNotFoundError:
        return Seen()
    except ValidationError as error:
        raise BadArtefact(f"{home.seen} is damaged; restore it from a backup or enrol in a new home.") from error


def check_clock(seen: Seen, now: datetime | None = None) -> None:
    """Refuse to judge expiry dates by a clock that was set back.

    Raises:
        BadInput: it is earlier than what was seen.
    """
    now = now or datetime.now(UTC)
    if seen.clock is not None and now < seen.clock - TOLERANCE:
        raise BadInput(
            f"This machine's clock says {now:%Y-%m-%d %H:%M} UTC, and it was {seen.clock:%Y-%m-%d %H:%M} UTC at the last pull; "
            "set it right, as old metadata would pass for fresh."
        )


def remember(home: Home, seen: Seen, organ: str, newest: int | None, now: datetime | None = None) -> Seen:
    """Write down the moment and the newest release of `organ` that the verified metadata names, withdrawn ones too.

    Raises:
        BadArtefact: the server names none as new as one that was seen.
    """
    floor = seen.newest.get(organ, 0)
    if (newest or 0) < floor:
        named = f"{organ}/{newest}" if newest else "no release"
        raise BadArtefact(
            f"This site has seen {organ}/{floor}, and the server now names {named} as the newest: it has lost releases, or an "
            "old state is being replayed; ask the central operator."
        )
    now = now or datetime.now(UTC)
    clock = max(now, seen.clock) if seen.clock else now
    later = Seen(clock=clock, newest=seen.newest | ({organ: newest} if newest else {}))
    atomic.write_text(home.seen, later.model_dump_json(indent=1))
    return later
