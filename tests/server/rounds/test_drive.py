"""The driver says what is true of each site: never more than the site said, nor longer than it could know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from fakes.central import Central
from fakes.round_transport import Wire

from c2lst_server.db.models import SUSPENDED, Site
from c2lst_server.rounds import store
from c2lst_server.rounds.courier import PACE, Courier, Pace
from c2lst_server.rounds.drive import drive, step, take
from c2lst_server.rounds.store import RoundPlan, RoundView
from c2lst_server.rounds.transport import Message
from c2lst_shared.errors import TransferFailed
from c2lst_shared.wire import RoundAnswer, RoundRefusal, RoundResult, RoundStatus, parse_request

pytestmark = pytest.mark.both_databases

QUICK = Pace(between=0, running=0, resting=0, silent=0)


class Scripted:
    """A site that answers with what it is told to, for the round that it is asked about."""

    def __init__(self, **answer: object) -> None:
        self.answer: Callable[[str], RoundAnswer] = lambda round_id: RoundStatus.model_validate({"round_id": round_id} | answer)

    def says(self, **answer: object) -> None:
        self.__init__(**answer)  # type: ignore[misc]

    def finishes(self) -> None:
        self.answer = lambda round_id: RoundResult(round_id=round_id, seconds=7)

    def __call__(self, body: bytes) -> bytes:
        return self.answer(parse_request(body).round_id).body()


@pytest.fixture
def sites() -> dict[str, Scripted]:
    return {name: Scripted(state="queued") for name in ("a", "b", "c")}


class Driven:
    """One round with its driver, stepped by hand."""

    def __init__(self, central: Central, sites: dict[str, Scripted], **plan: object) -> None:
        self.central, self.wire, self.now = central, Wire(sites), datetime.now(UTC)
        wanted = RoundPlan.model_validate({"organ": "mob", "sites": ("a", "b")} | plan)
        with central.session() as session:
            self.round_id = store.start(session, central.home, wanted, self.now).round_id

    def step(self, seconds: float = 0, pace: Pace = QUICK) -> RoundView:
        self.now += timedelta(seconds=seconds)
        with self.central.session() as session:
            step(session, self.round_id, Courier(self.wire, pace), self.now)
        return self.view()

    def view(self) -> RoundView:
        with self.central.session() as session:
            return store.show(session, self.round_id)

    def states(self) -> list[str]:
        return [site.state for site in self.view().sites]


@pytest.fixture
def driven(central: Central, sites: dict[str, Scripted]) -> Driven:
    return Driven(central, sites)


def test_sites_are_asked_in_groups_and_none_is_left_out(driven: Driven) -> None:
    one_by_one = Pace(between=0, running=0, resting=0, silent=0, at_once=1)
    for seconds in range(4):
        driven.step(seconds, one_by_one)
    assert [message.site for message in driven.wire.sent] == ["a", "b", "a", "b"]


def test_only_the_named_sites_are_asked(driven: Driven) -> None:
    driven.step()
    driven.step()
    assert {message.site for message in driven.wire.sent} == {"a", "b"}
    assert driven.wire.kinds("a") == ["offer", "status"]


def test_states_are_those_that_the_sites_report(driven: Driven, sites: dict[str, Scripted]) -> None:
    assert driven.states() == ["not_sent", "not_sent"]
    sites["a"].says(state="waiting")
    sites["b"].says(state="running", stage="adapt", step=120, steps=800, eta_seconds=130)
    found = driven.step()
    assert [site.in_words() for site in found.sites] == [
        "waiting for approval",
        "running: adapt 120/800, 2 min left in this step",
    ]
    sites["a"].says(state="declined", reason="person")
    sites["b"].finishes()
    found = driven.step()
    assert [site.in_words() for site in found.sites] == ["declined (person)", "finished"]
    assert found.sites[1].result == RoundResult(round_id=driven.round_id, seconds=7)
    assert found.state == "finished"
    assert found.closed is not None


def test_offer_whose_answer_is_lost_is_repeated(driven: Driven) -> None:
    driven.wire.mute = {"a"}
    found = driven.step()
    assert found.sites[0].state == "offered"
    assert found.sites[0].unreachable_since is not None
    driven.wire.mute = set()
    assert driven.step().sites[0].state == "queued"
    assert driven.wire.kinds("a") == ["offer", "offer"]


def test_site_that_is_away_holds_up_nobody_and_is_not_said_to_run(driven: Driven, sites: dict[str, Scripted]) -> None:
    sites["a"].says(state="running", stage="adapt", step=5, steps=10)
    driven.step()
    driven.wire.away, driven.wire.last_seen = {"a"}, driven.now
    sites["b"].finishes()
    found = driven.step(40)
    assert found.sites[0].state == "running"
    assert found.sites[0].in_words() == (
        f"unreachable since {driven.wire.last_seen:%Y-%m-%d %H:%M:%S} UTC; before: running: adapt 5/10"
    )
    assert found.sites[1].state == "finished"
    driven.wire.away = set()
    sites["a"].finishes()
    assert driven.step(1).state == "finished"


def test_site_that_the_transport_thinks_online_but_that_is_silent_is_unreachable(driven: Driven) -> None:
    driven.wire.deaf = {"b"}
    found = driven.step()
    assert found.sites[0].unreachable_since is None
    assert found.sites[1].unreachable_since == driven.now
    assert driven.step(60).sites[1].unreachable_since == driven.now - timedelta(seconds=60)


def test_site_that_lost_its_queue_is_offered_the_round_again(driven: Driven, sites: dict[str, Scripted]) -> None:
    driven.step()
    sites["a"].says(state="unknown")
    driven.step()
    sites["a"].says(state="queued")
    driven.step()
    assert driven.wire.kinds("a") == ["offer", "status", "offer"]


def test_site_that_is_suspended_is_not_asked_any_more(driven: Driven, central: Central) -> None:
    driven.step()
    with central.session() as session:
        session.query(Site).filter_by(name="a").one().state = SUSPENDED
        session.commit()
    driven.wire.sent.clear()
    found = driven.step()
    assert {message.site for message in driven.wire.sent} == {"b"}
    assert found.sites[0].unreachable_since is not None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: RoundRefusal(code="internal").body(), id="refusal"),
        pytest.param(lambda _: RoundStatus(round_id="f" * 16, state="finished").body(), id="another round"),
        pytest.param(lambda _: b"<html>", id="a page"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda _: b"9" * 20_000, id="too long"),
    ],
)
def test_what_is_no_answer_changes_no_state(central: Central, answer: Callable[[bytes], bytes]) -> None:
    driven = Driven(central, {"a": answer, "b": Scripted(state="queued")})  # type: ignore[dict-item]
    found = driven.step()
    assert [site.state for site in found.sites] == ["offered", "queued"]
    assert found.sites[0].unreachable_since is not None


def test_round_ends_some_time_after_its_deadline_with_what_came(driven: Driven, sites: dict[str, Scripted]) -> None:
    sites["a"].finishes()
    sites["b"].says(state="running", stage="cotrain", step=1, steps=9)
    driven.step()
    assert driven.step(72 * 3600 - 10).state == "open"
    assert driven.step(20).state == "open"  # the other one may still tell
    found = driven.step(PACE.after_deadline)
    assert (found.state, found.in_words()) == ("finished", "finished, 1 of 2 sites finished")
    assert found.sites[1].in_words() == "no result by the deadline; before: running: cotrain 1/9"
    assert found.sites[0].result is not None


def test_cancellation_reaches_sites_also_when_they_come_back(driven: Driven, sites: dict[str, Scripted]) -> None:
    sites["a"].says(state="running")
    driven.step()
    driven.wire.away = {"b"}
    with driven.central.session() as session:
        assert store.cancel(session, driven.round_id, driven.now).state == "cancelling"
    sites["a"].says(state="cancelled")
    assert driven.step(1).state == "cancelling"
    assert driven.wire.kinds("a")[-1] == "cancel"
    driven.wire.away = set()
    sites["b"].says(state="cancelled")
    found = driven.step(1)
    assert driven.wire.kinds("b")[-1] == "cancel"
    assert found.state == "cancelled"


def test_sites_are_asked_no_more_often_than_their_state_needs(driven: Driven, sites: dict[str, Scripted]) -> None:
    sites["a"].says(state="running")
    sites["b"].says(state="waiting")
    for _ in range(61):
        driven.step(1, PACE)
    assert len(driven.wire.kinds("a")) == 7
    assert len(driven.wire.kinds("b")) == 2


def test_transport_that_is_away_changes_nothing(driven: Driven) -> None:
    driven.step()
    before = driven.view()
    driven.wire.down = True
    with pytest.raises(TransferFailed):
        driven.step(30)
    assert driven.view() == before


def test_transport_that_goes_away_in_an_exchange_claims_no_offer(driven: Driven) -> None:
    def away(*_: object, **__: object) -> dict[str, bytes]:
        raise TransferFailed("SuperLink does not answer.")

    exchange, driven.wire.exchange = driven.wire.exchange, away  # type: ignore[method-assign]
    with pytest.raises(TransferFailed):
        driven.step()
    assert driven.states() == ["not_sent", "not_sent"]
    driven.wire.exchange = exchange  # type: ignore[method-assign]
    driven.step(1)
    assert driven.states() == ["queued", "queued"]


class Killed(BaseException):
    """The driver's process ends here."""


@pytest.mark.parametrize("after", [False, True], ids=["before the exchange", "after it"])
@pytest.mark.parametrize("number", range(4))
def test_driver_that_ends_at_any_exchange_is_followed_to_the_same_end(
    central: Central, sites: dict[str, Scripted], number: int, after: bool
) -> None:
    """Whatever the site had heard by then: it queues a round once."""
    driven = Driven(central, sites)
    script = iter(["waiting", "queued", "running"])
    real, calls = driven.wire.exchange, 0

    def exchange(messages: Sequence[Message], *, timeout: float) -> Mapping[str, bytes]:
        nonlocal calls
        calls += 1
        if calls == number + 1 and not after:
            raise Killed
        state = next(script, None)
        for site in sites.values():
            site.says(state=state) if state else site.finishes()
        answers = real(messages, timeout=timeout)
        if calls == number + 1:
            raise Killed
        return answers

    driven.wire.exchange = exchange  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        drive(central.settings, driven.round_id, driven.wire, lambda: False, pace=QUICK, sleep=lambda _: None)
    drive(central.settings, driven.round_id, driven.wire, lambda: False, pace=QUICK, sleep=lambda _: None)
    found = driven.view()
    assert (found.state, [site.state for site in found.sites]) == ("finished", ["finished", "finished"])
    assert set(driven.wire.kinds("a")) <= {"offer", "status"}


def test_one_driver_at_a_time_and_a_dead_one_is_followed(driven: Driven) -> None:
    with driven.central.session() as session:
        assert store.open_rounds(session) == [driven.round_id]
        assert take(session, driven.round_id, "first", driven.now)
        assert take(session, driven.round_id, "first", driven.now)
        assert not take(session, driven.round_id, "second", driven.now)
        assert store.open_rounds(session, driven.now) == []
        later = driven.now + timedelta(seconds=PACE.lease + PACE.timeout + 1)
        assert store.open_rounds(session, later) == [driven.round_id]
        assert take(session, driven.round_id, "second", later)


def test_driver_that_is_stopped_and_started_again_brings_the_round_to_its_end(
    central: Central, sites: dict[str, Scripted]
) -> None:
    driven = Driven(central, sites)
    steps = 0

    def stop_after_two() -> bool:
        nonlocal steps
        steps += 1
        return steps > 2

    drive(central.settings, driven.round_id, driven.wire, stop_after_two, pace=QUICK, sleep=lambda _: None)
    with central.session() as session:
        assert store.open_rounds(session) == [driven.round_id]
    assert driven.states() == ["queued", "queued"]
    for site in sites.values():
        site.finishes()
    drive(central.settings, driven.round_id, driven.wire, lambda: False, pace=QUICK, sleep=lambda _: None)
    assert driven.view().state == "finished"
    with central.session() as session:
        assert store.open_rounds(session) == []
    sent = len(driven.wire.sent)
    drive(central.settings, driven.round_id, driven.wire, lambda: False, pace=QUICK)
    assert len(driven.wire.sent) == sent
