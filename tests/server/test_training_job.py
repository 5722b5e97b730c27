"""How the work on a training ends is written down by its class, and what time may mend is tried again."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fakes.central import Central
from fakes.small_site import SmallSite, h_and_e

from c2lst_server.trainings import store
from c2lst_server.trainings.job import ENDED, FAILED, run_claimed
from c2lst_server.trainings.job_queue import TrainingQueue
from c2lst_server.trainings.pace import Pace
from c2lst_server.trainings.plan import TrainingPlan
from c2lst_server.trainings.reporter import Reporter
from c2lst_server.trainings.store import TrainingView
from c2lst_shared.diffusion.workers import Workers
from c2lst_shared.errors import C2lstError


@pytest.fixture
def images(central: Central, tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "slides").mkdir(parents=True)
    central.settings = central.settings.model_copy(update={"images": root})
    return root / "slides"


def outcome(
    central: Central, error: BaseException | None = None, *, stop: bool = False
) -> tuple[int, TrainingView, str | None]:
    """Work on a training whose work raises this, and return how it ended."""

    class Breaking(Reporter):
        """Raises where the work begins."""

        def start(self, what: str, total: int, *, done: int = 0) -> None:
            if error is not None:
                raise error

    plan = TrainingPlan(organ="mob", images="slides", preset="tiny", um_per_px=2.75)
    queue = TrainingQueue(central.engine)
    with central.session() as session:
        store.queue(session, central.settings, plan)
    claimed = queue.claim("one")
    assert claimed is not None
    code = run_claimed(central.settings, queue, claimed, Breaking(), pace=Pace(), asked=lambda: stop, workers=Workers())
    with central.session() as session:
        return code, store.show(session, "mob-tiny"), store.why(session, "mob-tiny")


def test_images_that_cannot_be_used_fail_with_their_sentence(central: Central, images: Path) -> None:
    code, view, detail = outcome(central)
    assert (code, view.state, view.error) == (FAILED, "failed", "bad_input")
    assert detail is not None
    assert "no image" in detail


@pytest.mark.parametrize(
    ("error", "state", "code", "crashes"),
    [
        (MemoryError(), "failed", "memory", 0),
        (C2lstError("Training diverged at step 3."), "failed", "internal", 0),
        (OSError(errno.ENOSPC, "No space left on device"), "queued", "disk", 0),
        (RuntimeError("CUDA error: unspecified launch failure"), "queued", None, 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_error_is_written_down_by_its_class(
    central: Central, images: Path, error: Exception, state: str, code: str | None, crashes: int
) -> None:
    SmallSite(pixels=h_and_e(0), name="slide").write_image(images)
    ended, view, detail = outcome(central, error)
    assert (ended, view.state, view.error, view.crashes) == (FAILED, state, code, crashes)
    assert detail
    assert str(error) in detail


def test_work_that_is_asked_to_stop_before_it_begins_waits_again(central: Central, images: Path) -> None:
    code, view, _ = outcome(central, stop=True)
    assert (code, view.state, view.crashes, view.error) == (ENDED, "queued", 0, None)
