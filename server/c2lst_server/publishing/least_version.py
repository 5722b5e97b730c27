"""After a restore, metadata goes on with versions that no site can have seen.

Sites refuse a timestamp, a snapshot or a role whose version is lower than one that they saw. A backup does not know what was
signed after it was made: at least the timestamp, every day. So a restored home goes on with versions that are seconds since
1970: as long as less than one version a second is signed, that is more than was ever given, also by earlier restores.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from c2lst_server.home import Home
from c2lst_shared import atomic
from c2lst_shared.errors import BadArtefact


class Restored(BaseModel):
    """The record of the last restore."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_version: int


def read_least_version(home: Home) -> int:
    """Return the lowest version that the next metadata may have; 1 where nothing was restored.

    Raises:
        BadArtefact: the record is damaged.
    """
    try:
        return Restored.model_validate_json(home.restored.read_bytes()).least_version
    except FileNotFoundError:
        return 1
    except ValidationError as error:
        raise BadArtefact(f"{home.restored} is damaged; restore the home again from its backup.") from error


def go_on_from(home: Home, now: datetime) -> None:
    """Let the next metadata have versions from `now` on."""
    atomic.write_text(home.restored, Restored(least_version=int(now.timestamp())).model_dump_json(indent=1))
