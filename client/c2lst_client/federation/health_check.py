"""`c2lst-client join --check`: do the site's processes live, and does the centre see its node?

What the SuperNode says of itself is not asked: it believes itself well when it has lost the link.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel

from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_client.trust.access import ask_how_linked
from c2lst_client.trust.pinned import load_enrolment, open_egress
from c2lst_shared.errors import C2lstError
from c2lst_shared.flower.heartbeat import Pulse, take_pulse
from c2lst_shared.wire import LinkReply

GRACE_SECONDS = 120.0  # after a start, for the node to be linked: SuperLink may hold the place of one that died for a minute
COMMAND = "c2lst-client join"


class JoinCheck(BaseModel):
    """What was found."""

    state: Literal["well", "starting", "unwell"]
    found: str  # in one sentence
    processes: Pulse
    link: LinkReply | None = None  # None = the centre was not asked, or did not answer


def check_join(settings: Settings, *, grace: float = GRACE_SECONDS) -> JoinCheck:
    """Look at the processes and ask the centre.

    Args:
        grace: seconds after a start in which the node need not be linked.
    """
    home = settings.folders

    def ask() -> LinkReply:
        enrolment = load_enrolment(home)
        with open_egress(home, enrolment, settings.proxy) as egress:
            return ask_how_linked(egress, home, enrolment)

    return judge_join(home, ask, grace=grace)


def judge_join(home: Home, ask: Callable[[], LinkReply], *, grace: float = GRACE_SECONDS) -> JoinCheck:
    """As `check_join`; `ask` asks the centre, and is not called when a process does not live."""
    pulse = take_pulse(home.join_processes, COMMAND)
    if pulse.fault is not None or pulse.began is None:
        return JoinCheck(state="unwell", found=pulse.fault or "", processes=pulse)
    link = None
    try:
        link = ask()
        fault = _fault(home, link)
    except C2lstError as error:
        fault = f"Whether the centre sees this site's node is not known: {error}"
    if fault is None:
        found = f"`{COMMAND}` runs since {pulse.began:%Y-%m-%d %H:%M} UTC, and the centre sees this site online."
        return JoinCheck(state="well", found=found, processes=pulse, link=link)
    if datetime.now(UTC) - pulse.began < timedelta(seconds=grace):
        found = f"`{COMMAND}` started at {pulse.began:%H:%M:%S} UTC and is given {grace:.0f} s to be linked. {fault}"
        return JoinCheck(state="starting", found=found, processes=pulse, link=link)
    return JoinCheck(state="unwell", found=fault, processes=pulse, link=link)


def _fault(home: Home, link: LinkReply) -> str | None:
    log = home.federation / "node.log"
    match link.state:
        case "online":
            return None
        case "offline":
            since = f"{link.since:%Y-%m-%d %H:%M:%S} UTC" if link.since else "some time"
            return f"The centre has not heard of this site's node since {since}; see {log}, and what is between here and there."
        case "never_linked":
            return f"The centre has never seen this site's node; see {log}, and whether a proxy lets /v1/fleet/ pass."
        case "superlink_away":
            return "The centre's own SuperLink does not answer its server; tell the central operator."
