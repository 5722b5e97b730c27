"""The work on one training, in a process of its own, or in several that a launcher started:

`python -m c2lst_server.trainings.job HOME TRAINING OWNER PACE`.

It is what `c2lst-server train` does, in the folder of the run, and goes on where it was stopped. The first process alone speaks
to the database and writes down how the work ended before it ends itself; an end without a word is noted by the trainer.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from c2lst_server.db.session import open_database
from c2lst_server.runs import RunRecord
from c2lst_server.settings import Settings
from c2lst_server.training import pretrain
from c2lst_server.trainings.images import find_images
from c2lst_server.trainings.job_queue import Claimed, TrainingQueue
from c2lst_server.trainings.lease import Lease
from c2lst_server.trainings.pace import Pace
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.reporter import Reporter
from c2lst_shared.diffusion.workers import Workers, join_workers
from c2lst_shared.error_codes import PASSING, error_code
from c2lst_shared.errors import BadInput, C2lstError, Interrupted
from c2lst_shared.flower.child import die_with
from c2lst_shared.processes import default_workers
from c2lst_shared.stopping import stop_on_signal
from c2lst_shared.supervised import follow_supervisor

log = logging.getLogger(__name__)

ENDED, FAILED = 0, 1


def run_claimed(
    settings: Settings,
    queue: TrainingQueue,
    claimed: Claimed,
    reporter: Reporter,
    *,
    pace: Pace,
    asked: Callable[[], bool],
    workers: Workers,
) -> int:
    """Work on a training that its owner has claimed, write down how it ended, and return the exit code."""
    lease = Lease(queue, claimed, reporter, asked=asked, seconds=pace.lease, every=pace.beat)
    try:
        with lease:
            if lease.stop():
                raise Interrupted("Stopped before it began.")  # noqa: TRY301
            record = _train(settings, claimed.plan, workers, stop=lease.stop, reporter=reporter)
    except Interrupted:
        if lease.why == "cancel":
            queue.cancelled(claimed)
        else:
            queue.put_back(claimed)
        return ENDED
    except Exception as error:
        log.warning("Training %s stopped.", claimed.training_id, exc_info=True)
        code, detail = error_code(error), str(error) if isinstance(error, C2lstError) else f"{type(error).__name__}: {error}"
        if code in PASSING:
            queue.put_back(claimed, code, detail, wait=pace.wait_after(code))
        elif code == "internal" and not isinstance(error, C2lstError):
            # nobody foresaw it: a card that failed, another process of the training that died
            queue.crashed(claimed, detail, wait=pace.retry)
        else:
            queue.fail(claimed, code, detail)
        return FAILED  # by which a launcher knows that it has to end the other processes
    queue.finish(claimed, record.metrics)
    return ENDED


def follow(settings: Settings, plan: TrainingPlan, asked: Callable[[], bool], workers: Workers) -> int:
    """Take every step of the training beside the first process, which writes everything."""
    with suppress(Interrupted):
        _train(settings, plan, workers, stop=asked)
    return ENDED


def _train(
    settings: Settings, plan: TrainingPlan, workers: Workers, *, stop: Callable[[], bool], reporter: Reporter | None = None
) -> RunRecord:
    if plan.run is None:
        raise BadInput("A training that was queued has a name for its run; queue it again.")
    reporter = reporter or Reporter()
    return pretrain.train(
        settings.folders,
        organ=plan.organ,
        images=find_images(settings, plan.images),
        preset=plan.full_preset,
        run_id=plan.run,
        um_per_px=plan.um_per_px,
        seed=plan.seed,
        corpus_workers=default_workers(),
        progress=reporter,
        on_losses=reporter.on_losses,
        stop=stop,
        workers=workers,
    )


def main(words: list[str], reporter_class: type[Reporter] = Reporter) -> int:
    """Work on a claimed training; standard input is the pipe from the trainer."""
    home, training_id, owner, pace_json = words
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if "LOCAL_RANK" in os.environ:  # the launcher starts it in a session of its own, where the trainer's kill does not reach it
        die_with(os.getppid())
    pace = Pace.model_validate_json(pace_json)
    settings = Settings().model_copy(update={"home": Path(home)})
    gone: list[bool] = []
    follow_supervisor(sys.stdin.fileno(), lambda: gone.append(True), grace=pace.grace)
    with stop_on_signal() as signalled, join_workers() as workers:

        def asked() -> bool:
            return signalled() or bool(gone)

        engine: Engine = open_database(settings)
        try:
            queue = TrainingQueue(engine)
            claimed = queue.find(training_id, owner)
            if claimed is None:  # it was lost before the work began
                return FAILED
            if workers.is_first:
                return run_claimed(settings, queue, claimed, reporter_class(), pace=pace, asked=asked, workers=workers)
            return follow(settings, claimed.plan, asked, workers)
        finally:
            engine.dispose()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
