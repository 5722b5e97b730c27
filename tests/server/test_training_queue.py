"""The queue as trainers use it, on SQLite and on PostgreSQL: every training is one trainer's at a time, whoever dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.central import Central
from sqlalchemy.orm import Session

from c2lst_server.db.session import migrate, open_database
from c2lst_server.settings import Settings
from c2lst_server.trainings import store
from c2lst_server.trainings.job_queue import LEASE_SECONDS, Claimed, Report, TrainingQueue
from c2lst_server.trainings.pace import Pace
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.queue_figures import QueueFigures, read_queue
from c2lst_server.trainings.reporter import Reporter, thinned
from c2lst_server.trainings.store import MOST_POINTS, TrainingView
from c2lst_server.trainings.trainer import command, environment


class Clock:
    """Shows the time that a test sets."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


pytestmark = pytest.mark.both_databases


class Queued:
    """A queue in a database of its own, with its clock."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, Clock()
        migrate(settings)
        self.engine = open_database(settings)
        self.jobs = TrainingQueue(self.engine, self.clock)

    def add(self, run: str) -> None:
        plan = TrainingPlan(organ="mob", images="mob-sections", preset="tiny", run=run)
        with Session(self.engine) as session:
            store.queue(session, self.settings, plan, now=self.clock.now)
        self.clock.forward(0.001)

    def show(self, run: str) -> TrainingView:
        with Session(self.engine) as session:
            return store.show(session, run, now=self.clock.now)

    def read(self) -> QueueFigures:
        with Session(self.engine) as session:
            return read_queue(session, self.clock.now)

    def figures(self) -> dict[str, int]:
        """States with how many are in them, without those that none is in."""
        return {state: count for state, count in self.read().states.items() if count}

    def claim(self, owner: str = "one") -> Claimed:
        claimed = self.jobs.claim(owner, 60)
        assert claimed is not None
        return claimed


@pytest.fixture
def queued(central: Central, tmp_path: Path) -> Iterator[Queued]:
    (tmp_path / "images" / "mob-sections").mkdir(parents=True)
    queued = Queued(central.settings.model_copy(update={"images": tmp_path / "images"}))
    yield queued
    queued.engine.dispose()


def at(step: int) -> Report:
    return Report("pretrain", step, 100, 10, step, 0.5, [(step, 0.5)])


def test_oldest_is_taken_first_and_each_once(queued: Queued) -> None:
    for run in ("a", "b"):
        queued.add(run)
    assert [queued.claim(owner).plan.run for owner in ("one", "two")] == ["a", "b"]
    assert queued.jobs.claim("three") is None
    assert queued.show("a").state == "running"


def test_many_trainers_at_once_never_take_the_same(queued: Queued) -> None:
    runs = [f"run-{number}" for number in range(24)]
    for run in runs:
        queued.add(run)
    taken: list[str | None] = []

    def work(owner: str) -> None:
        while (claimed := queued.jobs.claim(owner)) is not None:
            taken.append(claimed.plan.run)

    threads = [threading.Thread(target=work, args=(f"trainer-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run or "" for run in taken) == sorted(runs)


def test_what_a_silent_trainer_had_is_taken_by_the_next_and_its_words_change_nothing(queued: Queued) -> None:
    queued.add("a")
    first = queued.claim("first")
    queued.jobs.beat(first, 60, at(40))
    queued.clock.forward(50)
    assert queued.jobs.beat(first, 60) == "go on"
    queued.clock.forward(59)
    assert queued.jobs.claim("second") is None
    queued.clock.forward(2)
    assert queued.show("a").state == "stalled"
    second = queued.claim("second")
    assert queued.jobs.beat(first, 60, at(99)) == "lost"
    queued.jobs.fail(first, "internal", "too late")
    queued.jobs.crashed(first)
    view = queued.show("a")
    assert (view.state, view.step, view.crashes, view.error) == ("running", 40, 1, None)
    queued.jobs.finish(second, {"validation_loss": 0.1})
    assert (queued.show("a").state, queued.show("a").metrics) == ("finished", {"validation_loss": 0.1})


@pytest.mark.parametrize("how", ["told", "silent"])
def test_death_at_the_same_step_is_given_up_and_one_that_gets_further_is_not(queued: Queued, how: str) -> None:
    queued.add("a")
    for step in (10, 20, 30, 40, 40, 40):
        claimed = queued.claim()
        queued.jobs.beat(claimed, 60, at(step))
        if how == "told":
            queued.jobs.crashed(claimed, wait=5)
            assert queued.jobs.claim("impatient") is None
        queued.clock.forward(61)
    assert queued.jobs.claim("one") is None
    view = queued.show("a")
    assert (view.state, view.error, view.crashes) == ("failed", "crashed", 3)
    with Session(queued.engine) as session:
        store.resume(session, "a", now=queued.clock.now)
    queued.claim()


def test_what_was_to_be_cancelled_when_its_trainer_died_is_cancelled(queued: Queued) -> None:
    queued.add("a")
    queued.claim()
    with Session(queued.engine) as session:
        store.cancel(session, "a", now=queued.clock.now)
    queued.clock.forward(61)
    assert queued.jobs.claim("two") is None
    assert queued.show("a").state == "cancelled"


def test_passing_trouble_is_waited_for(queued: Queued) -> None:
    queued.add("a")
    queued.jobs.put_back(queued.claim(), "disk", "full", wait=30)
    assert (queued.show("a").state, queued.show("a").error) == ("queued", "disk")
    assert queued.jobs.claim("two") is None
    queued.clock.forward(31)
    queued.claim("two")
    assert queued.show("a").error is None


def test_figures_tell_the_states_as_people_see_them(queued: Queued) -> None:
    assert queued.figures() == {}
    for run in ("runs", "fails", "is-cancelled", "waits"):
        queued.add(run)
    claimed = {run: queued.claim() for run in ("runs", "fails", "is-cancelled")}
    queued.jobs.fail(claimed["fails"], "memory", "The card is too small.")
    with Session(queued.engine) as session:
        store.cancel(session, "is-cancelled", now=queued.clock.now)
    assert queued.figures() == {"running": 1, "failed": 1, "cancelling": 1, "queued": 1}
    queued.clock.forward(61)
    assert queued.figures() == {"stalled": 2, "failed": 1, "queued": 1}


def test_wait_is_counted_from_when_a_trainer_could_have_come(queued: Queued) -> None:
    queued.add("a")
    queued.clock.forward(3600)
    queued.add("b")
    assert queued.read().longest_wait == pytest.approx(3600, abs=0.1)
    queued.jobs.put_back(queued.claim(), "disk", "full", wait=30)  # a is tried again later
    queued.claim()
    assert queued.read().longest_wait == 0
    queued.clock.forward(35)
    assert queued.read().longest_wait == pytest.approx(5, abs=0.1)


def test_silence_is_counted_from_the_last_heartbeat(queued: Queued) -> None:
    assert queued.read().longest_silence == 0
    queued.add("a")
    claimed = queued.claim()
    queued.clock.forward(50)
    assert queued.read().longest_silence == pytest.approx(50)
    queued.jobs.beat(claimed, LEASE_SECONDS)
    queued.clock.forward(1)
    assert (queued.read().longest_silence, queued.read().longest_wait) == (pytest.approx(1), 0)
    queued.clock.forward(-10)  # the clock of the trainer's machine is ahead
    assert queued.read().longest_silence == 0


def test_curve_has_few_points_and_keeps_the_mean() -> None:
    assert thinned([]) == []
    assert thinned([1.0, 2.0]) == [(1, 1.0), (2, 2.0)]
    losses = [float(number) for number in range(1, 200_001)]
    points = thinned(losses)
    assert len(points) == MOST_POINTS
    assert points[0] == (1000, 500.5)
    assert points[-1] == (200_000, 199_500.5)


def test_reporter_tells_how_far_the_work_is() -> None:
    reporter = Reporter()
    assert reporter.report() is None
    reporter.start("cutting tiles", 50)
    reporter.advance(10)
    cutting = reporter.report()
    assert cutting is not None
    assert (cutting.stage, cutting.step, cutting.steps, cutting.loss) == ("corpus", 10, 50, None)
    reporter.start("pretraining", 100, done=30)
    reporter.on_losses([0.5] * 31)
    reporter.advance()
    training = reporter.report()
    assert training is not None
    assert (training.stage, training.step, training.steps, training.loss) == ("pretrain", 31, 100, 0.5)
    assert training.done > cutting.done


def test_launcher_starts_the_processes(central: Central) -> None:
    claimed = Claimed("5f0c9b7e21d34a86", TrainingPlan(organ="mob", images="x", run="r"), "one")
    alone = command(central.settings, claimed, Pace())
    assert alone[1:3] == ["-m", "c2lst_server.trainings.job"]
    settings = central.settings.model_copy(update={"trainer_launcher": "accelerate launch --num_processes 4"})
    several = command(settings, claimed, Pace())
    assert several[:6] == ["accelerate", "launch", "--num_processes", "4", "--module", "c2lst_server.trainings.job"]
    assert several[6:] == alone[3:]
    assert environment(settings)["C2LST_SERVER_DATABASE_URL"] == central.settings.database_url
