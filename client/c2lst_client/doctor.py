"""`c2lst-client doctor`: what hospital IT wants to know before it calls anybody. Nothing is changed.

Three requests go to the enrolled server, through the same door and log as everything else: is it well, an access token, and
who it takes this site for. Where `join` runs, two more ask how the centre sees its node.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel
from tuf.api.metadata import Metadata

from c2lst_client.audit import verify_chain
from c2lst_client.egress import Egress, HttpStatus
from c2lst_client.federation.health_check import COMMAND, judge_join
from c2lst_client.home import Home
from c2lst_client.settings import Settings
from c2lst_client.status import read_status
from c2lst_client.trust.access import ask_how_linked, ask_who_we_are
from c2lst_client.trust.pinned import Enrolment, load_enrolment, open_egress, read_pinned_root
from c2lst_client.trust.pull import verify_release
from c2lst_client.trust.refusals import refusals
from c2lst_client.trust.seen import check_clock, load_seen
from c2lst_shared.errors import C2lstError
from c2lst_shared.flower.heartbeat import take_pulse
from c2lst_shared.release.targets import split_release
from c2lst_shared.wire import Health

ROOM = 5e9  # bytes that a site of a few hundred spots with its pairs stays well below
UNAVAILABLE = 503  # the status of a server that says so of itself
APART = timedelta(minutes=5)  # of two clocks that are right
SOON = timedelta(days=14)  # before something runs out, its renewal is asked for

State = Literal["ok", "warning", "fault"]
_LINK_STATES: dict[str, State] = {"well": "ok", "starting": "warning", "unwell": "fault"}


class Finding(BaseModel):
    """One thing that was looked at."""

    subject: str
    state: State
    found: str
    to_do: str = ""


def examine(settings: Settings, *, offline: bool = False) -> list[Finding]:
    """Look at everything that can be looked at; what depends on a fault is left out.

    Args:
        settings: of the installation.
        offline: ask nothing of the server.
    """
    home = settings.folders
    findings = [_try("state folder", lambda: _folder(home)), _try("disk", lambda: _disk(home)), _hardware()]
    findings.append(_try("enrolment", lambda: _enrolment(home)))
    if findings[-1].state == "ok":
        findings.append(_try("clock", lambda: _clock(home)))
        findings.append(_try("signed metadata", lambda: _metadata(home)))
        findings += [_try(f"release {name}", _release(home, name)) for name in read_status(home).releases]
        findings.append(_try("audit log", lambda: _log(home)))
        if not offline:
            findings += _network(settings, load_enrolment(home))
        if "link" not in {finding.subject for finding in findings}:
            findings.append(_link_unasked(home))
    return findings


def glance(home: Home) -> list[Finding]:
    """Look at what is seen at once, for a page that is shown again and again: no file is read through, nothing is asked."""
    findings = [_try("state folder", lambda: _folder(home)), _try("disk", lambda: _disk(home))]
    if home.enrolment.exists():
        findings.append(_try("enrolment", lambda: _enrolment(home)))
        findings.append(_try("clock", lambda: _clock(home)))
        findings.append(_try("signed metadata", lambda: _metadata(home)))
    return findings


def _try(subject: str, look: Callable[[], Finding]) -> Finding:
    """Our own errors say what is wrong and what to do."""
    try:
        return look()
    except C2lstError as error:
        return Finding(subject=subject, state="fault", found=str(error))


def _folder(home: Home) -> Finding:
    existing = _existing(home)
    if not os.access(existing, os.W_OK):
        to_do = "give this user the right to write there, or choose another folder with C2LST_HOME"
        return Finding(subject="state folder", state="fault", found=f"{existing} cannot be written", to_do=to_do)
    return Finding(subject="state folder", state="ok", found=str(home.path))


def _disk(home: Home) -> Finding:
    existing = _existing(home)
    free = shutil.disk_usage(existing).free
    enough = free > ROOM
    return Finding(
        subject="disk",
        state="ok" if enough else "warning",
        found=f"{free / 1e9:.1f} GB free",
        to_do="" if enough else f"make room: a site takes up to {ROOM / 1e9:.0f} GB",
    )


def _existing(home: Home) -> Path:
    """Return the state folder or, before it is made, the folder in which it will be."""
    return next(folder for folder in (home.path, *home.path.parents) if folder.exists())


def _hardware() -> Finding:
    import torch

    from c2lst_shared.diffusion.hardware import best_device, has_bf16

    device = best_device()
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"no GPU, {os.cpu_count()} CPU cores"
    bf16 = "with bf16" if has_bf16(device) else "without bf16, about half as fast"
    return Finding(subject="hardware", state="ok", found=f"{name}, {bf16}")


def _enrolment(home: Home) -> Finding:
    enrolment = load_enrolment(home)
    read_pinned_root(home, enrolment)
    return Finding(subject="enrolment", state="ok", found=f"as {enrolment.site} at {enrolment.server}, pinned root untouched")


def _clock(home: Home) -> Finding:
    check_clock(load_seen(home))
    return Finding(subject="clock", state="ok", found=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, not behind what was seen")


def _metadata(home: Home) -> Finding:
    files = sorted(home.metadata.glob("*.json"))
    expires = {path.stem: _expiry(path) for path in files if path.is_file()}
    if len(expires) < 2:
        return Finding(subject="signed metadata", state="ok", found="nothing was pulled yet")
    role, first = min(expires.items(), key=lambda item: item[1])
    left = first - datetime.now(UTC)
    found = f"{role} runs out first, on {first:%Y-%m-%d %H:%M} UTC"
    if left < timedelta(0):
        to_do = "pull again; if that says the same, the centre has not signed: ask its operator"
        return Finding(subject="signed metadata", state="warning", found=found, to_do=to_do)
    slow = {name: date for name, date in expires.items() if name not in {"timestamp", "snapshot"}}
    late = [name for name, date in slow.items() if date - datetime.now(UTC) < SOON]
    to_do = f"ask the central operator to sign {', '.join(late)} again soon" if late else ""
    return Finding(subject="signed metadata", state="warning" if late else "ok", found=found, to_do=to_do)


def _expiry(path: Path) -> datetime:
    with refusals():
        return Metadata.from_file(str(path)).signed.expires


def _release(home: Home, name: str) -> Callable[[], Finding]:
    def look() -> Finding:
        verify_release(home, *split_release(name))
        return Finding(subject=f"release {name}", state="ok", found="every file is the one that was signed")

    return look


def _log(home: Home) -> Finding:
    lines = verify_chain(home.audit_log)
    return Finding(subject="audit log", state="ok", found=f"{lines} lines, the chain is whole")


def _certificate(ends: datetime) -> Finding:
    left = ends - datetime.now(UTC)
    late = left < SOON
    return Finding(
        subject="certificate",
        state="warning" if late else "ok",
        found=f"the server's ends on {ends:%Y-%m-%d %H:%M} UTC, {left.days} days from now",
        to_do="ask the central operator to renew it: once it has ended, the server is refused" if late else "",
    )


def _access(egress: Egress, home: Home, enrolment: Enrolment) -> Finding:
    known = ask_who_we_are(egress, home, enrolment)
    return Finding(subject="access", state="ok", found=f"the centre knows {known.site} as {known.state}, by this site's key")


def _link(egress: Egress, home: Home, enrolment: Enrolment) -> Finding:
    """How the centre sees the node of a site whose `join` was started."""
    found = judge_join(home, lambda: ask_how_linked(egress, home, enrolment))
    return Finding(subject="link", state=_LINK_STATES[found.state], found=found.found)


def _link_unasked(home: Home) -> Finding:
    if not home.join_processes.exists():
        return Finding(subject="link", state="ok", found="`c2lst-client join` does not run: no part is taken in rounds")
    pulse = take_pulse(home.join_processes, COMMAND)
    found = pulse.fault or "`c2lst-client join` runs; the centre was not asked whether it sees the node"
    return Finding(subject="link", state="fault" if pulse.fault else "ok", found=found)


def _server(egress: Egress, enrolment: Enrolment) -> Finding:
    """Say whether the server, which answers, is also fit to be used."""
    try:
        egress.ask("/readyz", Health)
    except HttpStatus as error:
        if error.status == UNAVAILABLE:
            return Finding(
                subject="server",
                state="warning",
                found=f"{enrolment.server} answers and says that it is not ready",
                to_do="try again in a few minutes; if it stays so, tell the central operator, whose log says why",
            )
        raise
    return Finding(subject="server", state="ok", found=f"{enrolment.server} answers and is well")


def _network(settings: Settings, enrolment: Enrolment) -> list[Finding]:
    """Each step only when the one before it succeeded."""
    through = f"through the proxy {settings.proxy}" if settings.proxy else "directly"
    host = urlsplit(settings.proxy or enrolment.server).hostname or ""
    try:
        address = socket.getaddrinfo(host, None)[0][4][0]
    except OSError as error:
        to_do = "check the machine's DNS" + (" and C2LST_PROXY" if settings.proxy else ", or set C2LST_PROXY to your proxy")
        return [Finding(subject="name", state="fault", found=f"{host} has no address here ({error})", to_do=to_do)]
    findings = [Finding(subject="name", state="ok", found=f"{host} is {address}, reached {through}")]
    try:
        with open_egress(settings.folders, enrolment, settings.proxy) as egress:
            health = egress.ask("/healthz", Health)
            findings.append(_server(egress, enrolment))
            if egress.certificate_ends is not None:
                findings.append(_certificate(egress.certificate_ends))
            findings.append(_try("access", lambda: _access(egress, settings.folders, enrolment)))
            if findings[-1].state == "ok" and settings.folders.join_processes.exists():
                findings.append(_link(egress, settings.folders, enrolment))
    except C2lstError as error:
        return [*findings, Finding(subject="server", state="fault", found=str(error))]
    apart = abs(health.time - datetime.now(UTC))
    right = apart < APART
    findings.append(
        Finding(
            subject="clock of the server",
            state="ok" if right else "warning",
            found=f"{apart.total_seconds():.0f} s from this one",
            to_do="" if right else "set the one that is wrong: what is signed expires by the clock",
        )
    )
    return findings
