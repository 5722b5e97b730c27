"""Sites as the dashboard shows them: what the registry knows, when each was last heard of, and which release it works with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from c2lst_server.db.models import ACTIVE, INVITED, EnrolmentToken, Round, RoundSite, Site
from c2lst_server.sites.registry import SiteRecord
from c2lst_shared.wire import RoundOffer

SILENT = timedelta(days=7)  # after which somebody should ask the site
WORKING = ("queued", "running", "finished")  # states in which a site has the release of the round


@dataclass(frozen=True)
class SiteRow:
    """One site."""

    record: SiteRecord
    heard: datetime | None  # when it last showed who it is, or answered in a round
    online: bool | None  # None: nobody knows
    release: str | None  # of the last round that it worked on
    invited_until: datetime | None  # end of an enrolment file that was not used

    @property
    def link(self) -> Literal["online", "offline", "unknown"]:
        """Whether SuperLink sees it."""
        return "unknown" if self.online is None else "online" if self.online else "offline"


def site_rows(session: Session, records: Sequence[SiteRecord], online: frozenset[str] | None) -> list[SiteRow]:
    """Return these sites with what else is known of them; `online` as SuperLink says."""
    names = [record.name for record in records]
    answered, releases, invitations = _answered(session, names), _releases(session, names), _invitations(session, names)
    return [
        SiteRow(
            record=record,
            heard=max((when for when in (record.last_seen, answered.get(record.name)) if when), default=None),
            online=None if online is None or record.state != ACTIVE else record.name in online,
            release=releases.get(record.name),
            invited_until=invitations.get(record.name) if record.state == INVITED else None,
        )
        for record in records
    ]


def silent_sites(session: Session, now: datetime) -> list[str]:
    """Return the active sites that were not heard of for a while, by name."""
    quiet = session.scalars(
        select(Site.name)
        .where(Site.state == ACTIVE, func.coalesce(Site.last_seen, Site.enrolled, Site.added) < now - SILENT)
        .order_by(Site.name)
    ).all()
    answered = _answered(session, quiet)
    return [name for name in quiet if name not in answered or answered[name] < now - SILENT]


def _answered(session: Session, names: Collection[str]) -> dict[str, datetime]:
    found = (
        select(RoundSite.site, RoundSite.answered)
        .where(RoundSite.site.in_(names), RoundSite.answered.is_not(None))
        .order_by(RoundSite.answered)
    )
    return {site: when for site, when in session.execute(found) if when is not None}  # the last one of each site stays


def _releases(session: Session, names: Collection[str]) -> dict[str, str]:
    found = (
        select(RoundSite.site, Round.offer)
        .join(Round)
        .where(RoundSite.site.in_(names), RoundSite.state.in_(WORKING))
        .order_by(Round.started)
    )
    return {site: RoundOffer.model_validate_json(offer).release_name for site, offer in session.execute(found)}


def _invitations(session: Session, names: Collection[str]) -> dict[str, datetime]:
    found = select(Site.name, EnrolmentToken.expires).join(EnrolmentToken.site)
    rows = session.execute(found.where(Site.name.in_(names), EnrolmentToken.used.is_(None)))
    return {row.name: row.expires for row in rows}
