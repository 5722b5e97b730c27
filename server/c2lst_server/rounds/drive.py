"""The driver of a round: short messages to the named sites and to nobody else, and their answers written down.

Everything that it knows is in the database, so that it may be killed and started again at any moment: requests may be
repeated, and a site that has the work already says how it stands. Sites are asked in groups, and one that is away holds up
nobody. A lease keeps two drivers from asking the same sites twice as often; it is not needed for what comes of the round.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from c2lst_server.db.models import ACTIVE, Round, RoundSite, Site
from c2lst_server.db.session import open_database
from c2lst_server.rounds.courier import PACE, Courier, Pace
from c2lst_server.rounds.store import NOT_SENT, OFFERED
from c2lst_server.rounds.transport import Message, Node, Transport
from c2lst_server.settings import Settings
from c2lst_server.tracing import Tracing, open_tracing
from c2lst_shared.errors import TransferFailed
from c2lst_shared.logs import in_round
from c2lst_shared.wire import (
    TERMINAL,
    Cancel,
    QueryStatus,
    RoundOffer,
    RoundRefusal,
    RoundResult,
    RoundStatus,
    parse_answer,
)

log = logging.getLogger(__name__)


def drive(
    settings: Settings,
    round_id: str,
    transport: Transport,
    stop: Callable[[], bool],
    *,
    pace: Pace = PACE,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Drive a round from where it stands to its end, or until told to stop; one that is over is left at once.

    Raises:
        BadInput: there is no such round, or the collector of traces cannot be used.
    """
    with in_round(round_id), open_tracing("c2lst-rounds") as tracing:
        _drive(settings, round_id, transport, stop, pace, sleep, tracing)


def _drive(
    settings: Settings,
    round_id: str,
    transport: Transport,
    stop: Callable[[], bool],
    pace: Pace,
    sleep: Callable[[float], None],
    tracing: Tracing,
) -> None:
    engine = open_database(settings)
    tracing.watch(engine)
    driver = secrets.token_hex(8)
    courier = Courier(transport, pace, tracing)
    try:
        while not stop():
            with Session(engine) as session:
                now = datetime.now(UTC)
                if not take(session, round_id, driver, now, pace):
                    return
                try:
                    if step(session, round_id, courier, now):
                        return
                except TransferFailed as error:
                    log.warning("Round %s: %s", round_id, error)
            _wait(pace.between, stop, sleep)
    finally:
        with Session(engine) as session:
            session.execute(update(Round).where(Round.driver == driver).values(driver=None, driver_until=None))
            session.commit()
        engine.dispose()


def take(session: Session, round_id: str, driver: str, now: datetime, pace: Pace = PACE) -> bool:
    """Take or keep the lease of an open round; false when it is over, or somebody else drives it."""
    mine = or_(Round.driver.is_(None), Round.driver == driver, Round.driver_until < now)
    until = now + timedelta(seconds=pace.lease + pace.timeout)
    found = session.execute(
        update(Round)
        .where(Round.round_id == round_id, Round.closed.is_(None), mine)
        .values(driver=driver, driver_until=until)
        .returning(Round.id)
    ).first()
    session.commit()
    return found is not None


def step(session: Session, round_id: str, courier: Courier, now: datetime) -> bool:
    """Ask the sites whose turn it is, write their answers down, and return whether the round is over.

    Raises:
        TransferFailed: the transport is away; every state is as it was.
    """
    row = session.scalars(select(Round).where(Round.round_id == round_id)).one()
    active = set(session.scalars(select(Site.name).where(Site.state == ACTIVE)))
    nodes = {name: node for name, node in courier.nodes().items() if name in active}
    due = []
    for site in row.sites:
        if site.state in TERMINAL:
            continue
        _note_link(site, nodes.get(site.site), now)
        if site.site in nodes and nodes[site.site].online and _is_due(row, site, now, courier.pace):
            due.append(site)
    # those that waited longest first, so that nobody is left out
    due.sort(key=lambda site: (site.asked is not None, site.asked or row.started))
    messages = {}
    for site in due[: courier.room]:
        messages[site.site] = _request(row, site)
        site.asked = now
    session.commit()
    with courier.asking(list(messages.values())) as answers:
        for site in row.sites:
            if site.state == NOT_SENT and site.site in messages and messages[site.site].kind == "offer":
                site.state, site.offered = OFFERED, now
        _write_down(row, messages, answers, now)
        _close_when_over(row, now, courier.pace)
        session.commit()
    return row.closed is not None


def _note_link(site: RoundSite, node: Node | None, now: datetime) -> None:
    """Keep since when a site cannot be reached, in the transport's view; only an answer takes that back."""
    if node is not None and node.online:
        return
    if site.unreachable_since is None:
        last_seen = node.last_seen if node is not None else None
        site.unreachable_since = min(last_seen or now, now)


def _is_due(row: Round, site: RoundSite, now: datetime, pace: Pace) -> bool:
    """Whether it is this site's turn: news (a new round, a cancellation) at once, else by what it does."""
    if site.asked is None or (row.cancelled is not None and site.asked < row.cancelled):
        return True
    silent = site.answered is None or site.answered < site.asked
    wait = pace.silent if silent else pace.running if site.state == "running" else pace.resting
    if row.cancelled is not None:
        wait = min(wait, pace.running)
    return now - site.asked >= timedelta(seconds=wait)


def _request(row: Round, site: RoundSite) -> Message:
    if row.cancelled is not None:
        return Message(site.site, "cancel", Cancel(round_id=row.round_id).body())
    if site.state in {NOT_SENT, OFFERED, "unknown"}:
        return Message(site.site, "offer", RoundOffer.model_validate_json(row.offer).body())
    return Message(site.site, "status", QueryStatus(round_id=row.round_id).body())


def _write_down(row: Round, messages: Mapping[str, Message], answers: Mapping[str, bytes], now: datetime) -> None:
    for site in row.sites:
        if site.site not in messages:
            continue
        answer = _read(answers.get(site.site), row.round_id, site.site)
        if answer is None:
            site.unreachable_since = site.unreachable_since or now
            continue
        site.answered, site.unreachable_since = now, None
        if isinstance(answer, RoundResult):
            site.state, site.result = "finished", answer.model_dump_json()
            site.stage = site.step = site.steps = site.eta_seconds = site.error = site.reason = None
        else:
            for name in ("state", "stage", "step", "steps", "eta_seconds", "error", "reason"):
                setattr(site, name, getattr(answer, name))


def _read(body: bytes | None, round_id: str, site: str) -> RoundStatus | RoundResult | None:
    """Return what a site said, or None for what is not an answer to this round; nothing that it sends is believed unread."""
    if body is None:
        return None
    try:
        answer = parse_answer(body)
    except ValueError:
        log.warning("Round %s: what site %s sent is no answer.", round_id, site)
        return None
    if isinstance(answer, RoundRefusal):
        log.warning("Round %s: site %s refused (%s).", round_id, site, answer.code)
        return None
    return answer if answer.round_id == round_id else None


def _close_when_over(row: Round, now: datetime, pace: Pace) -> None:
    """A round is over when every site is, or some time after its deadline: what came counts."""
    late = now >= row.deadline + timedelta(seconds=pace.after_deadline)
    if late or all(site.state in TERMINAL for site in row.sites):
        row.closed, row.driver, row.driver_until = now, None, None
        for site in row.sites:
            if site.state not in TERMINAL:
                site.error = "deadline"  # what it said last stays beside it


def _wait(seconds: float, stop: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    end = time.monotonic() + seconds
    while not stop() and (left := end - time.monotonic()) > 0:
        sleep(min(left, 0.25))
