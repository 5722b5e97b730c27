"""The first page: what needs somebody's attention, and how this institution stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c2lst_client.audit_pages import read_page
from c2lst_client.console.round_view import view
from c2lst_client.console.rounds import jobs_of
from c2lst_client.console.site_console import Console, showing
from c2lst_client.doctor import Finding, glance
from c2lst_client.rounds.policy import load_policy, may_run
from c2lst_client.rounds.policy_words import policy_words
from c2lst_client.rounds.queue_database import Job
from c2lst_client.status import Status, read_status
from c2lst_shared.errors import C2lstError
from c2lst_shared.web.pages import Link

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

RECENT_DAYS = 7  # for which a failure is news


@dataclass(frozen=True)
class Notice:
    """Something that somebody should do, or know."""

    tone: str
    sentence: str
    link: Link | None = None
    command: str = ""


def routes() -> list[Route]:
    """Return the page."""
    return [showing("/", overview)]


def overview(console: Console, request: Request) -> Response:
    """Show the first page."""
    home, jobs = console.home, jobs_of(console)
    policy = load_policy(home)
    status: Status | None = None
    troubles = []
    try:
        status = read_status(home)
    except C2lstError as error:
        troubles.append(Notice("bad", str(error)))
    found = glance(home)
    notices = [
        *troubles,
        *_about_status(status, jobs),
        *_about_rounds(jobs, outside_window=not may_run(policy, datetime.now())),
        *_about_findings(found),
        *_about_doctor(console),
    ]
    contact = home.contact.stat().st_mtime if home.contact.exists() else None
    return console.page(
        request,
        "overview.html.j2",
        "/",
        {
            "standing": status,
            "notices": notices,
            "waiting": sum(job.state == "waiting" for job in jobs),
            "at_work": [view(job) for job in jobs if job.state in {"queued", "running"}],
            "free": _free(console),
            "contact": datetime.fromtimestamp(contact, UTC) if contact else None,
            "policy": policy_words(policy),
            "findings": found,
            "lines": read_page(home.audit_log, count=5).lines,
        },
        live=True,
    )


def _about_status(status: Status | None, jobs: list[Job]) -> Iterator[Notice]:
    if status is None:
        return
    if status.enrolled_as is None:
        yield Notice(
            "warn",
            "This machine is not enrolled yet. The centre gives you a one-time file; take it in with this command.",
            command="c2lst-client enroll FILE",
        )
    elif status.joined_since is None:
        tone = "warn" if any(job.state in {"queued", "running"} for job in jobs) else "idle"
        yield Notice(tone, f"No part is taken in rounds: {status.join}", command="c2lst-client join")
    for name, withdrawal in status.withdrawn.items():
        yield Notice("warn", f"Release {name} was {withdrawal}; it is set aside and not used any more.")
    if not status.sites:
        yield Notice(
            "idle",
            "There is no slide yet. Rounds work on slides of their organ; add one with this command.",
            command="c2lst-client site add NAME --organ ORGAN --spots FOLDER",
        )


def _about_rounds(jobs: list[Job], *, outside_window: bool) -> Iterator[Notice]:
    waiting = [job for job in jobs if job.state == "waiting"]
    if waiting:
        one = len(waiting) == 1
        address = f"/rounds/{waiting[0].round_id}" if one else "/rounds"
        count = "One round waits" if one else f"{len(waiting)} rounds wait"
        yield Notice("warn", f"{count} for your decision.", Link("Look at it" if one else "Look at them", address))
    now = datetime.now(UTC).timestamp()
    for job in jobs:
        if job.state == "failed" and now - job.updated < RECENT_DAYS * 86_400:
            shown = view(job)
            yield Notice("bad", f"Round {job.round_id} failed: {shown.why}.", Link("Why", f"/rounds/{job.round_id}"))
    if outside_window and any(job.state in {"queued", "running"} for job in jobs):
        yield Notice("idle", "Work waits for the hours that the policy gives it.", Link("Policy", "/policy"))


def _about_findings(found: list[Finding]) -> Iterator[Notice]:
    for finding in found:
        if finding.state != "ok":
            tone = "bad" if finding.state == "fault" else "warn"
            yield Notice(tone, _sentence(finding))


def _about_doctor(console: Console) -> Iterator[Notice]:
    last = console.checkup.last
    wrong = [finding for finding in last.findings if finding.state != "ok"] if last else []
    if wrong:
        tone = "bad" if any(finding.state == "fault" for finding in wrong) else "warn"
        names = ", ".join(finding.subject for finding in wrong)
        yield Notice(tone, f"Doctor found something at its last run: {names}.", Link("What to do", "/doctor"))


def _sentence(finding: Finding) -> str:
    told = f"{finding.subject.capitalize()}: {finding.found}".rstrip(".")
    return f"{told}; {finding.to_do}." if finding.to_do else f"{told}."


def _free(console: Console) -> int | None:
    for folder in (console.home.path, *console.home.path.parents):
        if folder.exists():
            return shutil.disk_usage(folder).free
    return None
