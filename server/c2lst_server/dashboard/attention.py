"""What somebody at the centre should do something about, the most urgent first."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_server.administrators import AdministratorRecord, Scope
from c2lst_server.dashboard import pages
from c2lst_server.dashboard.site_rows import silent_sites
from c2lst_server.db.models import INVITED, EnrolmentToken, Release, Site
from c2lst_server.home import Home
from c2lst_server.publishing.roles import role_states
from c2lst_server.rounds import store as rounds
from c2lst_server.rounds.store import RoundView
from c2lst_server.trainings import store as trainings
from c2lst_shared.web.pages import Link
from c2lst_shared.web.words import size
from c2lst_shared.wire import TERMINAL

ROUNDS_LOOKED_AT, TRAININGS_LOOKED_AT, MOST_NAMES = 30, 50, 5
RECENT = timedelta(days=7)  # for which what has ended is still spoken of
LITTLE_SPACE = 4  # times the least free space, below which one is warned
TOKEN_ENDS = timedelta(days=14)
_KEYS = Link("Signatures", f"{pages.RELEASES.address}#roles")


@dataclass(frozen=True)
class Item:
    """One thing to look at."""

    tone: Literal["bad", "warn", "idle"]
    sentence: str
    link: Link | None = None
    when: datetime | None = None  # a moment that the sentence ends with


def items(
    home: Home,
    session: Session,
    viewer: AdministratorRecord,
    faults: Mapping[str, str],
    least_free: int,
    now: datetime | None = None,
) -> list[Item]:
    """Return what needs attention, of what the viewer may see."""
    now = now or datetime.now(UTC)
    found = [Item("bad", f"The service is not fit to be sent sites: {why}.") for why in faults.values()]
    found += [*_roles(home, now), *_disk(home, least_free)]
    if Scope.READ_ROUNDS in viewer.scopes:
        found += _rounds(session, now)
    if Scope.READ_TRAININGS in viewer.scopes:
        found += _trainings(session, now)
    if Scope.READ_SITES in viewer.scopes:
        found += _sites(session, now)
    if viewer.expires - now < TOKEN_ENDS:
        sentence = f"Your own token ends soon; make a new one with `c2lst-server admins add {viewer.name}`. It ends on"
        found.append(Item("warn", sentence, when=viewer.expires))
    return sorted(found, key=lambda item: ("bad", "warn", "idle").index(item.tone))


def _roles(home: Home, now: datetime) -> Iterator[Item]:
    for role in role_states(home, now):
        if role.state != "fresh":
            expired = role.state == "expired"
            what = "has run out: sites refuse it since" if expired else "runs out soon: sites refuse it from"
            yield Item("bad" if expired else "warn", f"What the role {role.role} signed {what}", _KEYS, role.expires)


def _disk(home: Home, least_free: int) -> Iterator[Item]:
    disk = shutil.disk_usage(home.path)
    if disk.free < LITTLE_SPACE * least_free:
        yield Item("warn", f"{size(disk.free)} of {size(disk.total)} are free on the disk of the releases and trainings.")


def _rounds(session: Session, now: datetime) -> Iterator[Item]:
    for each in rounds.list_rounds(session, limit=ROUNDS_LOOKED_AT):
        if each.closed is None or now - each.closed < RECENT:
            yield from _round(each)


def _round(view: RoundView) -> Iterator[Item]:
    name = f"The round on {view.offer.release_name}"
    link = Link("Round", f"{pages.ROUNDS.address}/{view.round_id}")
    failed = [site.site for site in view.sites if site.state == "failed" or (site.error == "deadline")]
    if failed and view.state != "cancelled":
        yield Item("bad", f"{name} failed at {_names(failed)}.", link)
    if view.closed is not None:
        return
    away = [site.site for site in view.sites if site.unreachable_since is not None and site.state not in TERMINAL]
    waiting = [site.site for site in view.sites if site.state == "waiting" and site.unreachable_since is None]
    if away:
        yield Item("warn", f"{name} cannot reach {_names(away)}; the work there goes on, its result waits.", link)
    if waiting:
        yield Item("idle", f"{name} waits for somebody to approve it at {_names(waiting)}.", link)


def _trainings(session: Session, now: datetime) -> Iterator[Item]:
    published = set(session.scalars(select(Release.run_id)))
    for each in trainings.list_trainings(session, limit=TRAININGS_LOOKED_AT, now=now):
        link = Link("Training", f"{pages.TRAININGS.address}/{each.training_id}")
        if each.state == "failed" and each.ended is not None and now - each.ended < RECENT:
            yield Item("bad", f"Training {each.run} failed ({(each.error or 'internal').replace('_', ' ')}).", link)
        elif each.state == "stalled":
            yield Item("warn", f"Training {each.run} stands still: its trainer is silent. Start `c2lst-server trainer`.", link)
        elif each.state == "finished" and each.run not in published:
            yield Item("idle", f"Training {each.run} is finished and can be published.", link)


def _sites(session: Session, now: datetime) -> Iterator[Item]:
    silent = silent_sites(session, now)
    if silent:
        yield Item("warn", f"Nothing was heard for a week or longer of {_names(silent)}.", pages.SITES)
    ended = session.scalars(
        select(Site.name)
        .join(EnrolmentToken)
        .where(Site.state == INVITED, EnrolmentToken.used.is_(None), EnrolmentToken.expires <= now)
        .order_by(Site.name)
    ).all()
    if ended:
        sentence = f"The enrolment file of {_names(ended)} ran out before it was used; make a new one."
        yield Item("warn", sentence, Link("Enrol a site", f"{pages.SITES.address}/enrol"))


def _names(names: Collection[str]) -> str:
    shown = list(names)[:MOST_NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
