"""The work on one round, in a process of its own: `python -m c2lst_client.rounds.job [--log-format X] HOME ROUND OWNER LEASE`.

The steps are those of `c2lst-client adapt --site`, `evaluate` and `cotrain`, called as these commands call them, in a folder
of the round's own: an adapter that somebody made by hand is neither used nor touched. Every step goes on where it was stopped.
The process writes down how it ended before it ends; one that ends without a word is taken up again by its supervisor.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from c2lst_client.home import Home
from c2lst_client.journey import Journey
from c2lst_client.options import AdaptOptions, SampleOptions
from c2lst_client.rounds import failures
from c2lst_client.rounds.leases import Leases
from c2lst_client.rounds.outcome import Measured, declare
from c2lst_client.rounds.queue_database import Job
from c2lst_client.rounds.watch import Watch
from c2lst_client.settings import Settings
from c2lst_client.sites import Site, open_site
from c2lst_shared import journal
from c2lst_shared.error_codes import PASSING, error_code
from c2lst_shared.errors import BadInput, Interrupted
from c2lst_shared.logs import LogFormat, in_round, write_logs
from c2lst_shared.stopping import stop_on_signal
from c2lst_shared.wire import RoundOffer, RoundResult, Stage

log = logging.getLogger(__name__)

STAGES: tuple[Stage, ...] = ("pull", "prepare", "adapt", "backbone", "evaluate", "synthesise", "cotrain")
_WORDS: dict[str, Stage] = {"pulling": "pull", "Stain-normalising": "prepare"}  # first words of steps that adaptation needs
_PER_STAGE = 100_000_000  # more than any stage has steps


class Reporter:
    """Writes the progress of the work to the queue, about once a second; what a step says of itself in words stays here."""

    def __init__(self, leases: Leases, round_id: str, owner: str) -> None:
        self._leases, self._round_id, self._owner = leases, round_id, owner
        self.stage: Stage = "adapt"
        self._shown: Stage = "adapt"
        self._total = self._done = self._first = 0
        self._began = self._said = 0.0

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Begin a step of `total` units, `done` of which were finished by an earlier run."""
        self._shown = _WORDS.get(what.split()[0], self.stage)
        self._total, self._done, self._first, self._began = total, done, done, time.monotonic()
        self._say()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` more."""
        self._done += units
        if time.monotonic() - self._said >= 1:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        new = self._done - self._first
        eta = (self._said - self._began) / new * (self._total - self._done) if new else None
        with suppress(sqlite3.OperationalError):  # the disk may be full; the work finds out for itself
            self._leases.progress(
                self._round_id,
                self._owner,
                stage=self._shown,
                step=self._done,
                steps=self._total,
                eta=eta,
                done=STAGES.index(self._shown) * _PER_STAGE + self._done,
            )


def round_site(home: Home, job: Job) -> Site:
    """Return the slide that a round works on, with the round's own folder.

    Raises:
        BadInput: the slide is not there any more.
    """
    if job.slide is None:
        raise BadInput(f"Round {job.round_id} has no slide; approve it with --site.")
    return Site(home.round(job.round_id), open_site(home, job.slide).record)


def run_steps(journey: Journey, offer: RoundOffer, reporter: Reporter) -> Measured:
    """Do what the offer asks for and return what was measured."""
    options = AdaptOptions(
        release=offer.release_name,
        fraction=offer.fraction,
        split=offer.split,
        genes=offer.genes,
        steps=offer.steps,
        seed=offer.seed,
    )
    adapted = journey.adapt(options)
    reporter.stage = "backbone"
    denoising = journey.measure_backbone()
    conditioning = cotrain = None
    if offer.evaluate:
        reporter.stage = "evaluate"
        conditioning = journey.evaluate(SampleOptions(seed=offer.seed))
    if offer.cotrain:
        reporter.stage = "synthesise"
        journey.synthesise(SampleOptions(seed=offer.seed), per_spot=max(offer.ratios) if offer.ratios else None)
        reporter.stage = "cotrain"
        cotrain = journey.cotrain(seeds=offer.seeds, ratios=offer.ratios)
    split, panel = adapted.adaptation.split, adapted.adaptation.panel
    return Measured(len(split.train), len(split.test), len(panel.genes), denoising, conditioning, cotrain)


def run_job(
    settings: Settings,
    job: Job,
    owner: str,
    *,
    lease: float,
    supervisor: int | None,
    asked: Callable[[], bool],
    journey_class: type[Journey] = Journey,
) -> None:
    """Work on a round that `owner` has claimed, and write down how it ended."""
    home = settings.folders
    leases = Leases(home.round_queue)
    reporter = Reporter(leases, job.round_id, owner)
    with Watch(home, leases, job, owner, asked=asked, lease=lease) as watch:
        if supervisor is not None:
            watch.follow(supervisor)
        try:
            result = _work(settings, job, reporter, watch, journey_class)
        except Interrupted:
            _settle(leases, job, owner, watch)
        except Exception as error:
            code, detail = error_code(error), f"{type(error).__name__}: {error}"
            log.warning("Round %s stopped.", job.round_id, exc_info=True)
            if code in PASSING:
                leases.put_back(job.round_id, owner, code, detail, failures.wait_after(code))
            else:
                leases.fail(job.round_id, owner, code, detail)
        else:
            if watch.why in {"cancel", "deadline", "hours"}:
                _settle(leases, job, owner, watch)
            else:
                leases.finish(job.round_id, owner, result)


def _work(settings: Settings, job: Job, reporter: Reporter, watch: Watch, journey_class: type[Journey]) -> RoundResult:
    if job.offer is None:
        raise BadInput(f"Round {job.round_id} was never offered.")
    site = round_site(settings.folders, job)
    with site.exclusively():
        if watch.stop():
            raise Interrupted("Stopped before it began.")
        measured = run_steps(journey_class(settings, site, progress=reporter, stop=watch.stop), job.offer, reporter)
        latest = Leases(settings.folders.round_queue).find(job.round_id) or job
        return declare(job.round_id, measured, seconds=latest.spent, steps=journal.read(site.folder).entries)


def _settle(leases: Leases, job: Job, owner: str, watch: Watch) -> None:
    """Write down why the work was stopped; one that lost its round changes nothing."""
    match watch.why:
        case "cancel":
            leases.cancelled(job.round_id, owner)
        case "deadline" | "hours" as code:
            leases.fail(job.round_id, owner, code, "")
        case _:
            leases.put_back(job.round_id, owner)


def main(words: list[str], journey_class: type[Journey] = Journey) -> int:
    """Work on a claimed round; standard input is the pipe from the supervisor, and `--log-format X` may come first."""
    *options, home, round_id, owner, lease = words
    write_logs(LogFormat(options[-1]) if options else LogFormat.TEXT, plain_errors=True)
    with in_round(round_id):
        return _work_on(home, round_id, owner, lease, journey_class)


def _work_on(home: str, round_id: str, owner: str, lease: str, journey_class: type[Journey]) -> int:
    settings = Settings(home=Path(home))
    job = Leases(settings.folders.round_queue).find(round_id)
    if job is None or job.owner != owner:
        return 0
    try:
        with stop_on_signal() as asked:
            run_job(
                settings,
                job,
                owner,
                lease=float(lease),
                supervisor=sys.stdin.fileno(),
                asked=asked,
                journey_class=journey_class,
            )
    except sqlite3.OperationalError:
        log.exception("How round %s ended could not be written down; the supervisor puts it back.", round_id)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
