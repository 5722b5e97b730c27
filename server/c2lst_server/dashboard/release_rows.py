"""Releases as the dashboard shows them: by organ, the withdrawn ones among them, and which sites work with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from c2lst_server.db.models import Release, Round
from c2lst_server.home import Home
from c2lst_server.publishing.catalogue import read_manifest, reading, signed_targets
from c2lst_shared.release.manifest import SAMPLES, Manifest
from c2lst_shared.release.targets import SERVED_TARGETS, complete_numbers, served_path, target_path
from c2lst_shared.release.withdrawal import Withdrawal, withdrawals
from c2lst_shared.wire import RoundOffer

ROUNDS_LOOKED_AT = 200  # the newest


@dataclass(frozen=True)
class ReleaseRow:
    """One release that sites are offered."""

    manifest: Manifest
    samples: str  # address of its sample grid
    sites: int  # that work with it, as far as rounds say


@dataclass(frozen=True)
class OrganRows:
    """The releases of one organ, the newest first."""

    organ: str
    releases: list[ReleaseRow]
    withdrawn: dict[int, Withdrawal]


@dataclass(frozen=True)
class Use:
    """A site that was asked to work with a release in a round."""

    site: str
    state: str
    round_id: str
    when: datetime


def organ_rows(home: Home, session: Session) -> list[OrganRows]:
    """Return every organ with its releases."""
    home.check_initialised()
    users = _users(session)
    found = []
    for organ in reading(home).organs():
        signed = signed_targets(home, organ)
        numbers = sorted(complete_numbers(signed, organ), reverse=True)
        rows = [
            ReleaseRow(
                read_manifest(home, organ, number), samples_address(home, organ, number), users.get(f"{organ}/{number}", 0)
            )
            for number in numbers
        ]
        found.append(OrganRows(organ, rows, dict(sorted(withdrawals(signed, organ).items(), reverse=True))))
    return found


def samples_address(home: Home, organ: str, number: int) -> str:
    """Return where the sample grid of a release is served: among the signed files, for ever the same."""
    path = target_path(organ, number, SAMPLES)
    return SERVED_TARGETS + served_path(path, signed_targets(home, organ)[path].hashes["sha256"])


def uses_of(session: Session, release: str) -> list[Use]:
    """Return the sites that the newest rounds asked to work with a release, each once, the newest first."""
    found: dict[str, Use] = {}
    for row in _newest_rounds(session):
        if RoundOffer.model_validate_json(row.offer).release_name == release:
            for site in row.sites:
                if site.state not in {"not_sent", "declined"}:
                    found.setdefault(site.site, Use(site.site, site.state, row.round_id, row.started))
    return list(found.values())


def run_of(session: Session, organ: str, number: int) -> str | None:
    """Return the run that a release was made of."""
    return session.scalar(select(Release.run_id).where(Release.organ == organ, Release.number == number))


def _users(session: Session) -> dict[str, int]:
    """Return how many sites worked with each release."""
    found: dict[str, set[str]] = {}
    for row in _newest_rounds(session):
        users = found.setdefault(RoundOffer.model_validate_json(row.offer).release_name, set())
        users |= {site.site for site in row.sites if site.state in {"queued", "running", "finished"}}
    return {release: len(sites) for release, sites in found.items()}


def _newest_rounds(session: Session) -> list[Round]:
    return list(session.scalars(select(Round).order_by(Round.started.desc()).limit(ROUNDS_LOOKED_AT)))
