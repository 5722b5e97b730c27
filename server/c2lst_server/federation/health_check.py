"""`c2lst-server superlink --check`: do its processes live, and does SuperLink answer?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel
from sqlalchemy.orm import Session

from c2lst_server.federation.link import Link
from c2lst_server.federation.site_links import sites_online
from c2lst_server.home import Home
from c2lst_shared.errors import TransferFailed
from c2lst_shared.flower.heartbeat import Pulse, take_pulse

GRACE_SECONDS = 60.0  # after a start, for SuperLink to listen
COMMAND = "c2lst-server superlink"


class SuperLinkCheck(BaseModel):
    """What was found."""

    well: bool
    found: str  # in one sentence
    processes: Pulse
    online: list[str] | None = None  # the sites that are linked; None = SuperLink was not asked or does not answer


def check_superlink(home: Home, session: Session, *, grace: float = GRACE_SECONDS) -> SuperLinkCheck:
    """Look at the processes and ask SuperLink.

    Args:
        grace: seconds after a start in which SuperLink need not answer.
    """
    pulse = take_pulse(Link(home.superlink).processes, COMMAND)
    if pulse.fault is not None or pulse.began is None:
        return SuperLinkCheck(well=False, found=pulse.fault or "", processes=pulse)
    try:
        online = sites_online(home, session)
    except TransferFailed as error:
        if datetime.now(UTC) - pulse.began < timedelta(seconds=grace):
            found = f"`{COMMAND}` started at {pulse.began:%H:%M:%S} UTC, and SuperLink does not answer yet."
            return SuperLinkCheck(well=True, found=found, processes=pulse)
        return SuperLinkCheck(well=False, found=str(error), processes=pulse)
    linked = ", ".join(online) or "none"
    found = f"`{COMMAND}` runs since {pulse.began:%Y-%m-%d %H:%M} UTC and answers; sites online: {linked}."
    return SuperLinkCheck(well=True, found=found, processes=pulse, online=online)
