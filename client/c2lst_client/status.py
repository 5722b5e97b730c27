"""Where this institution stands: its enrolment, the releases that are here, and how far each site is."""

from __future__ import annotations

from pathlib import Path

from pydantic import AwareDatetime, BaseModel

from c2lst_client.home import Home
from c2lst_client.rounds.job_queue import JobQueue
from c2lst_client.sites import Site, open_site, site_names
from c2lst_client.spots.pairs import PairSet
from c2lst_client.trust.pinned import load_enrolment
from c2lst_client.trust.quarantine import why_set_aside
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.flower.heartbeat import take_pulse

STEPS = ("adapt", "synthesise", "cotrain", "report")


class SiteStatus(BaseModel):
    """How far one site is."""

    name: str
    organ: str
    spots: str
    done: list[str]
    next: str | None  # the command that comes next; None when all is done


class Status(BaseModel):
    """The whole state in brief."""

    home: str
    enrolled_as: str | None
    server: str | None
    releases: list[str]
    withdrawn: dict[str, str]  # release -> when and why
    sites: list[SiteStatus]
    joined_since: AwareDatetime | None  # None = `join` does not run, or not well
    join: str  # how it stands, in words
    rounds_waiting: list[str]  # for somebody to approve or decline them


def read_status(home: Home) -> Status:
    """Look at the state folder; nothing is changed and nothing is sent."""
    enrolment = load_enrolment(home) if home.enrolment.exists() else None
    quarantined = {f"{organ}/{number}": why_set_aside(home, organ, number) for organ, number in _numbered(home.quarantine)}
    pulse = take_pulse(home.join_processes, "c2lst-client join")
    return Status(
        home=str(home.path),
        enrolled_as=enrolment.site if enrolment else None,
        server=enrolment.server if enrolment else None,
        releases=[f"{organ}/{number}" for organ, number in _numbered(home.releases)],
        withdrawn={name: str(withdrawal) for name, withdrawal in quarantined.items() if withdrawal},
        sites=[site_status(open_site(home, name)) for name in site_names(home)],
        joined_since=pulse.began if pulse.fault is None else None,
        join=pulse.fault or f"runs since {pulse.began:%Y-%m-%d %H:%M} UTC",
        rounds_waiting=_rounds_waiting(home),
    )


def _rounds_waiting(home: Home) -> list[str]:
    if not home.round_queue.exists():  # nothing is made by looking
        return []
    return [job.round_id for job in JobQueue(home.round_queue).all() if job.state == "waiting"]


def _numbered(folder: Path) -> list[tuple[str, int]]:
    found = ((path.parent.name, path.name) for path in folder.glob("*/[0-9]*"))
    return sorted((organ, int(number)) for organ, number in found if number.isdecimal())


def site_status(site: Site) -> SiteStatus:
    """Say how far a site is."""
    finished = {
        "adapt": (site.adapter / "record.json").exists(),
        "synthesise": _has_pairs(site.synthetic),
        "cotrain": (site.cotrain / "result.json").exists(),
        "report": site.report.exists(),
    }
    done = [step for step in STEPS if finished[step]]
    remaining = [step for step in STEPS if step not in done]
    return SiteStatus(
        name=site.name,
        organ=site.record.organ,
        spots=str(site.record.spots),
        done=done,
        next=remaining[0] if remaining else None,
    )


def _has_pairs(folder: Path) -> bool:
    try:
        PairSet.open(folder)
    except (BadInput, BadArtefact):
        return False
    return True
