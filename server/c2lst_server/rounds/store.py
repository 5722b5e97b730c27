"""Rounds as the operator starts, sees and cancels them; what comes of a round is written by its driver (`drive.py`)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from c2lst_server.actions import Action, note
from c2lst_server.db.models import ACTIVE, Round, RoundSite, Site
from c2lst_server.errors import NotThere
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_catalogue, read_manifest
from c2lst_shared.errors import BadInput
from c2lst_shared.web.words import plain_duration
from c2lst_shared.wire import TERMINAL, RoundOffer, RoundResult

NOT_SENT, OFFERED = "not_sent", "offered"
MOST_SITES = 10_000


class RoundPlan(BaseModel):
    """What the operator asks for; None leaves it to the release."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organ: str
    sites: tuple[str, ...]
    release: int | None = None  # the newest
    fraction: float = 0.25
    split: Literal["random", "blocked"] = "random"
    seed: int = 0
    genes: int | None = None
    steps: int | None = None
    evaluate: bool = True
    cotrain: bool = True
    seeds: int | None = None
    ratios: tuple[int, ...] | None = None
    hours: float = 24  # of compute at each site
    deadline_hours: float = 72  # from now


class SiteView(BaseModel):
    """How a round stands at one site."""

    model_config = ConfigDict(from_attributes=True)

    site: str
    state: str
    stage: str | None
    step: int | None
    steps: int | None
    eta_seconds: int | None
    error: str | None
    reason: str | None
    offered: AwareDatetime | None
    answered: AwareDatetime | None
    unreachable_since: AwareDatetime | None
    result: RoundResult | None

    def in_words(self) -> str:
        """The state for people; what a site said last is not passed off as the present when it cannot be reached."""
        words = {NOT_SENT: "not reached yet", "waiting": "waiting for approval"}.get(self.state, self.state)
        if self.state == "running" and self.stage:
            of = f" {self.step}/{self.steps}" if self.steps else ""
            left = f", {plain_duration(self.eta_seconds)} left in this step" if self.eta_seconds is not None else ""
            words = f"running: {self.stage}{of}{left}"
        if self.error == "deadline" and self.state not in TERMINAL:
            return f"no result by the deadline; before: {words}"
        why = self.error or self.reason
        words = f"{words} ({why.replace('_', ' ')})" if why else words
        if self.unreachable_since is not None and self.state not in TERMINAL:
            words = f"unreachable since {self.unreachable_since:%Y-%m-%d %H:%M:%S} UTC; before: {words}"
        return words


class RoundView(BaseModel):
    """One round as it is shown to the operator."""

    round_id: str
    state: Literal["open", "cancelling", "cancelled", "finished"]
    started: AwareDatetime
    deadline: AwareDatetime
    closed: AwareDatetime | None
    offer: RoundOffer
    sites: list[SiteView]

    def in_words(self) -> str:
        """The state with how many sites have finished."""
        done = sum(site.state == "finished" for site in self.sites)
        return f"{self.state}, {done} of {len(self.sites)} sites finished"


def plan(session: Session, home: Home, wanted: RoundPlan, now: datetime | None = None) -> RoundOffer:
    """Return the offer that the plan makes, once everything that it names is known to exist; nothing is kept.

    Raises:
        BadInput: a site, the organ, the release or a number cannot be used.
    """
    _check_sites(session, wanted.sites)
    number = wanted.release or _newest(home, wanted.organ)
    manifest = read_manifest(home, wanted.organ, number)
    now = now or datetime.now(UTC)
    try:
        return RoundOffer.model_validate(
            wanted.model_dump(exclude={"sites", "deadline_hours"})
            | {
                "round_id": secrets.token_hex(8),
                "release": number,
                "steps": manifest.defaults.adaptation.steps if wanted.steps is None else wanted.steps,
                "deadline": now + timedelta(hours=wanted.deadline_hours),
            }
        )
    except (ValidationError, OverflowError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}" if first else "that deadline"
        raise BadInput(f"A round cannot have {where}.") from None


def start(session: Session, home: Home, wanted: RoundPlan, now: datetime | None = None) -> RoundView:
    """Keep a new round; its driver offers it to the sites.

    Raises:
        BadInput: as `plan`.
    """
    now = now or datetime.now(UTC)
    offer = plan(session, home, wanted, now)
    row = Round(round_id=offer.round_id, offer=offer.model_dump_json(), started=now, deadline=offer.deadline)
    row.sites = [RoundSite(site=site, state=NOT_SENT) for site in sorted(wanted.sites)]
    session.add(row)
    note(session, Action.STARTED_ROUND, offer.round_id, f"{offer.release_name} at {', '.join(sorted(wanted.sites))}", now)
    session.commit()
    return _view(row)


def list_rounds(session: Session, *, limit: int | None = None, offset: int = 0) -> list[RoundView]:
    """Return rounds, the newest first: all of them, or `limit` of those after the first `offset`."""
    found = select(Round).order_by(Round.started.desc(), Round.id.desc()).limit(limit).offset(offset)
    return [_view(row) for row in session.scalars(found)]


def rounds_of_site(session: Session, site: str, *, limit: int) -> list[RoundView]:
    """Return the newest rounds that a site was asked for."""
    mine = select(RoundSite.round_id).where(RoundSite.site == site)
    found = select(Round).where(Round.id.in_(mine)).order_by(Round.started.desc(), Round.id.desc()).limit(limit)
    return [_view(row) for row in session.scalars(found)]


def show(session: Session, round_id: str) -> RoundView:
    """Return the round that `round_id`, or an unambiguous beginning of it, names.

    Raises:
        NotThere: there is none, or there are several.
    """
    return _view(find(session, round_id))


def cancel(session: Session, round_id: str, now: datetime | None = None) -> RoundView:
    """Give a round up; its driver tells the sites. One that is over stays as it is.

    Raises:
        BadInput: there is none, or it is over.
    """
    row = find(session, round_id)
    if row.closed is not None:
        raise BadInput(f"Round {row.round_id} is over, so there is nothing to cancel.")
    if row.cancelled is None:
        row.cancelled = now or datetime.now(UTC)
        note(session, Action.CANCELLED_ROUND, row.round_id, now=now)
    session.commit()
    return _view(row)


def open_rounds(session: Session, now: datetime | None = None) -> list[str]:
    """Return the rounds that are not over and that nobody drives now: each needs a driver."""
    idle = or_(Round.driver.is_(None), Round.driver_until.is_(None), Round.driver_until < (now or datetime.now(UTC)))
    return list(session.scalars(select(Round.round_id).where(Round.closed.is_(None), idle).order_by(Round.started)))


def find(session: Session, round_id: str) -> Round:
    """Return the row of the round that `round_id`, or an unambiguous beginning of it, names.

    Raises:
        NotThere: there is none, or there are several.
    """
    rows = list(session.scalars(select(Round).where(Round.round_id.startswith(round_id, autoescape=True)))) if round_id else []
    if len(rows) != 1:
        latest = session.scalars(select(Round.round_id).order_by(Round.started.desc()).limit(10))
        known = ", ".join([row.round_id for row in rows] or latest) or "none yet"
        raise NotThere(f"{round_id!r} names {len(rows) or 'no'} round{'s' * (len(rows) > 1)}; the rounds are: {known}.")
    return rows[0]


def _check_sites(session: Session, names: Sequence[str]) -> None:
    if not names:
        raise BadInput("A round needs at least one site; pass --sites with names of `c2lst-server sites list`.")
    if len(names) > MOST_SITES:
        raise BadInput(f"A round has at most {MOST_SITES} sites, not {len(names)}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"Site {twice[0]!r} is named twice; name each site once.")
    states = {row.name: row.state for row in session.execute(select(Site.name, Site.state))}
    for name in names:
        if name not in states:
            raise NotThere(f"There is no site {name!r}; `c2lst-server sites list` shows the sites.")
        if states[name] != ACTIVE:
            raise BadInput(f"Site {name!r} is {states[name]} and takes part in no round; leave it out of --sites.")


def _newest(home: Home, organ: str) -> int:
    releases = read_catalogue(home).releases
    numbers = [release.number for release in releases if release.organ == organ]
    if not numbers:
        organs = ", ".join(sorted({release.organ for release in releases})) or "none yet"
        raise NotThere(f"There is no release for organ {organ!r}; there are releases for: {organs}.")
    return max(numbers)


def _view(row: Round) -> RoundView:
    over = "finished" if row.cancelled is None else "cancelled"
    running = "open" if row.cancelled is None else "cancelling"
    return RoundView.model_validate(
        {
            "round_id": row.round_id,
            "state": running if row.closed is None else over,
            "started": row.started,
            "deadline": row.deadline,
            "closed": row.closed,
            "offer": RoundOffer.model_validate_json(row.offer),
            "sites": [_site_view(site) for site in row.sites],
        }
    )


def _site_view(row: RoundSite) -> SiteView:
    values = {name: getattr(row, name) for name in SiteView.model_fields if name != "result"}
    return SiteView(**values, result=RoundResult.model_validate_json(row.result) if row.result else None)
